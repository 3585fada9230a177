package main

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are what /metrics tells: of requests by route, of recordings, of the
// database's connections, and of the process. No label holds a name of a person or tenant.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	// found are those of requests by their labels, since the search costs more than
	// the count.
	found sync.Map // requestLabels to prometheus.Observer
}

type requestLabels struct {
	route, method string
	status        int
}

func newMetrics(s *server) *metrics {
	edge, hooks := s.scim, s.webhooks
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gatehouse_http_request_duration_seconds",
			Help:    "Requests answered, by route, method and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method", "status"}),
	}
	m.registry.MustRegister(m.requests,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_scim_requests_recorded_total", Help: "Requests that the flight recorder wrote down.",
		}, func() float64 { kept, _ := edge.Recorded(); return float64(kept) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_scim_requests_not_recorded_total", Help: "Requests that it did not, since more came than could be written.",
		}, func() float64 { _, lost := edge.Recorded(); return float64(lost) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_webhook_delivered_total", Help: "Messages that products have taken.",
		}, func() float64 { n, _, _ := hooks.Counts(); return float64(n) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_webhook_failed_total", Help: "Attempts to send a message to a product that failed.",
		}, func() float64 { _, n, _ := hooks.Counts(); return float64(n) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_webhook_dead_total", Help: "Messages that were given up.",
		}, func() float64 { _, _, n := hooks.Counts(); return float64(n) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_break_glass_used_total", Help: "How often somebody became an owner by breaking the glass: alert on any.",
		}, func() float64 { return float64(s.ui.BreakGlasses()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_mail_sent_total", Help: "Mails that the mail server has taken.",
		}, func() float64 { sent, _ := s.mailCounts(); return float64(sent) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_mail_failed_total", Help: "Attempts to send a mail that failed.",
		}, func() float64 { _, failed := s.mailCounts(); return float64(failed) }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewDBStatsCollector(s.store.DB(), "gatehouse"))
	return m
}

func (m *metrics) observe(pattern, method string, status int, took time.Duration) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
	default:
		method = "other" // a client must not make labels
	}
	labels := requestLabels{pattern, method, status}
	histogram, ok := m.found.Load(labels)
	if !ok {
		histogram = m.requests.WithLabelValues(pattern, method, strconv.Itoa(status))
		m.found.Store(labels, histogram)
	}
	histogram.(prometheus.Observer).Observe(took.Seconds())
}

// mailCounts are those of the outbox, zero without one.
func (s *server) mailCounts() (sent, failed uint64) {
	if s.mails == nil {
		return 0, 0
	}
	return s.mails.Counts()
}
