package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatehouse/api"
	"gatehouse/internal/mail"
	"gatehouse/internal/web"
	"gatehouse/oidc"
	"gatehouse/scim"
	"gatehouse/store"
	"gatehouse/ui"
	"gatehouse/webhook"
)

// server is the running program: here its parts meet.
type server struct {
	cfg      serveSettings
	store    *store.Store
	log      *slog.Logger
	scim     *scim.Server
	api      *api.Server
	ui       *ui.Server
	webhooks *webhook.Dispatcher
	mails    *mail.Outbox // nil without a mail server
	stopping atomic.Bool
}

func newServer(ctx context.Context, cfg serveSettings, st *store.Store, log *slog.Logger) (*server, error) {
	edge, err := scim.New(ctx, st, scim.Options{
		URL: cfg.URL, MaxBody: cfg.MaxBody, MaxBulk: cfg.MaxBulk, MaxPage: cfg.MaxPage, Rate: cfg.RateLimit, SecretKey: cfg.SecretKey, Log: log,
		RecordFor: cfg.RecordFor, MaskPersonal: !cfg.RecordPersonal, AccessTokenLife: cfg.AccessTokenLife,
		VerifyAssertion: verifyAssertions(oidc.NewClient(oidc.NewEgress(cfg.LoopbackIssuers), nil)),
	})
	if err != nil {
		return nil, err
	}
	products, err := api.New(ctx, st, api.Options{URL: cfg.URL, SecretKey: cfg.SecretKey, Rate: cfg.KeyRateLimit, Log: log})
	if err != nil {
		return nil, err
	}
	hooks, err := webhook.New(ctx, st, webhook.Options{
		SecretKey: cfg.SecretKey, AllowPrivate: cfg.WebhookAllowPrivate, Retries: cfg.WebhookRetries,
		Timeout: cfg.WebhookTimeout, Keep: cfg.WebhookKeep, Log: log,
	})
	if err != nil {
		return nil, err
	}
	mails, err := newOutbox(ctx, cfg, st, log)
	if err != nil {
		return nil, err
	}
	console, err := newConsole(ctx, cfg, st, mails, log)
	if err != nil {
		return nil, err
	}
	return &server{cfg: cfg, store: st, log: log, scim: edge, api: products, ui: console, webhooks: hooks, mails: mails}, nil
}

// verifyAssertions joins the protocol, which knows no store, to the edge, which
// knows no protocol.
func verifyAssertions(c *oidc.Client) scim.VerifyAssertion {
	return func(ctx context.Context, f store.Federation, assertion string) (string, error) {
		a, err := c.VerifyAssertion(ctx, oidc.Pinned{
			Issuer: f.Issuer, Subject: f.Subject, Audience: f.Audience, EntraTenant: f.EntraTenant, KeysURL: f.KeysURL,
		}, assertion)
		if errors.Is(err, oidc.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", scim.ErrIssuerUnavailable, err)
		}
		return a.ID, err
	}
}

// routes is every address that the server answers.
func (s *server) routes() []web.Route {
	routes := []web.Route{
		{Method: "GET", Pattern: "/livez", Access: web.Public, Handler: http.HandlerFunc(s.livez)},
		{Method: "GET", Pattern: "/readyz", Access: web.Public, Handler: http.HandlerFunc(s.readyz)},
	}
	routes = append(routes, s.scim.Routes()...)
	routes = append(routes, s.api.Routes()...)
	return append(routes, s.ui.Routes()...)
}

// proxies are those whom the settings trust.
func (s *server) proxies() (all []netip.Prefix) {
	for _, n := range s.cfg.TrustedProxies {
		all = append(all, n.Prefix)
	}
	return all
}

// livez says that the program runs; an orchestrator restarts it otherwise.
func (s *server) livez(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// readyz says that requests can be served; a load balancer turns away otherwise.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	switch err := s.store.Ping(ctx); {
	case s.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case err != nil:
		web.Annotate(r.Context(), slog.String("error", err.Error()))
		http.Error(w, "the database can't be reached", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}

// sealEvery is how long a change of the log waits for its seal.
const sealEvery = 3 * time.Second

// keepFinished finishes changes that the database stopped half way, once it lets them.
func (s *server) keepFinished(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.finishChanges(ctx)
	}
}

func (s *server) finishChanges(ctx context.Context) {
	if err := s.store.FinishChanges(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("a change of a large group can't be finished just now", "error", err)
	}
}

// run serves until ctx ends, then lets requests in progress finish. It calls
// ready with the address once that is open.
func (s *server) run(ctx context.Context, l net.Listener, ready func(addr string)) error {
	mux, err := web.Mux(s.routes())
	if err != nil {
		return err
	}
	// Nobody shall see what a process that was killed has left half done.
	s.finishChanges(ctx)
	m := newMetrics(s)
	main := &http.Server{
		Handler:           web.Log(s.log, m.observe, web.Behind(s.proxies(), mux)),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	servers := []*http.Server{main}
	failed := make(chan error, 2)
	serve := func(srv *http.Server, l net.Listener) {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	if s.cfg.MetricsListen != "" {
		ml, err := net.Listen("tcp", s.cfg.MetricsListen)
		if err != nil {
			return fmt.Errorf("metrics-listen: %w", err)
		}
		metricsMux := http.NewServeMux()
		metricsMux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
		srv := &http.Server{Handler: metricsMux, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, srv)
		s.log.Info("metrics", "addr", ml.Addr().String())
		go serve(srv, ml)
	}

	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.scim.Run(background) })
	wg.Go(func() { s.api.Run(background) })
	wg.Go(func() { s.ui.Run(background) })
	wg.Go(func() { s.webhooks.Run(background) })
	wg.Go(func() { s.sweepSignIn(background) })
	if s.mails != nil {
		wg.Go(func() { s.mails.Run(background) })
	}
	wg.Go(func() { s.store.KeepSealed(background, sealEvery, s.log) })
	wg.Go(func() { s.keepFinished(background) })
	go serve(main, l)
	ready(l.Addr().String())

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.log.Info("stopping")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
	defer cancel()
	for _, srv := range servers {
		if e := srv.Shutdown(grace); e != nil {
			err = errors.Join(err, fmt.Errorf("stop: %w", e), srv.Close())
		}
	}
	stopBackground()
	wg.Wait()
	s.log.Info("stopped")
	return err
}
