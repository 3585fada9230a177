package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"gatehouse/internal/mail"
	"gatehouse/scim"
	"gatehouse/store"
	"gatehouse/ui"
	"gatehouse/webhook"
)

// newConsole joins the console to the edges that it doesn't know.
func newConsole(ctx context.Context, cfg serveSettings, st *store.Store, mails *mail.Outbox, log *slog.Logger) (*ui.Server, error) {
	sealer, err := sealSignIn(ctx, st, cfg.SecretKey)
	if err != nil {
		return nil, err
	}
	hooks, err := webhook.NewSealer(ctx, st, cfg.SecretKey)
	if err != nil {
		return nil, err
	}
	return ui.New(st, ui.Options{
		URL: cfg.URL, Log: log, Sealer: sealer, LoopbackIssuers: cfg.LoopbackIssuers, StandIns: cfg.standIns, RecordFor: cfg.RecordFor,
		Mail: mails, ShownMail: cfg.shown,
		Explain: func(lang, code string) ui.Cause {
			c := scim.CauseIn(lang, code)
			return ui.Cause{Title: c.Title, Happened: c.Happened, Entra: c.Entra, Okta: c.Okta}
		},
		Webhooks: ui.Webhooks{
			Check: func(address string) error { return webhook.CheckURL(address, cfg.WebhookAllowPrivate) },
			New: func(id store.WebhookID) (secret, sealed, hint string) {
				secret, hint = webhook.NewSecret()
				return secret, hooks.Seal(id, secret), hint
			},
		},
		Settings: inForce(cfg),
	}), nil
}

// newOutbox makes what sends mails; nil where there is no server for them.
func newOutbox(ctx context.Context, cfg serveSettings, st *store.Store, log *slog.Logger) (*mail.Outbox, error) {
	send, err := cfg.send()
	if err != nil || send == nil {
		return nil, err
	}
	sealer, err := sealSignIn(ctx, st, cfg.SecretKey)
	if err != nil {
		return nil, err
	}
	return mail.New(st, mail.Options{Send: send, Sealer: sealer, Log: log}), nil
}

// inForce are the settings that bound what people and programs may do, by the names
// of their flags. Secrets are not among them.
func inForce(cfg serveSettings) []ui.Setting {
	rate := func(perSecond float64) string {
		if perSecond == 0 {
			return "no limit"
		}
		return fmt.Sprint(perSecond)
	}
	var pauses []string
	for _, wait := range cfg.WebhookRetries {
		pauses = append(pauses, wait.String())
	}
	var proxies []string
	for _, n := range cfg.TrustedProxies {
		proxies = append(proxies, n.String())
	}
	days := func(d time.Duration) string { return fmt.Sprintf("%v (%.4g days)", d, d.Hours()/24) }
	return []ui.Setting{
		{Name: "url", Value: cfg.URL},
		{Name: "max-body", Value: fmt.Sprintf("%d bytes", cfg.MaxBody)},
		{Name: "rate-limit", Value: rate(cfg.RateLimit)},
		{Name: "key-rate-limit", Value: rate(cfg.KeyRateLimit)},
		{Name: "access-token-life", Value: cfg.AccessTokenLife.String()},
		{Name: "session-idle", Value: cfg.SessionIdle.String()},
		{Name: "session-life", Value: cfg.SessionLife.String()},
		{Name: "trusted-proxies", Value: cmp.Or(strings.Join(proxies, ", "), "none")},
		{Name: "record-for", Value: days(cfg.RecordFor)},
		{Name: "record-personal", Value: fmt.Sprint(cfg.RecordPersonal)},
		{Name: "webhook-allow-private", Value: fmt.Sprint(cfg.WebhookAllowPrivate)},
		{Name: "webhook-retries", Value: strings.Join(pauses, ", ")},
		{Name: "webhook-timeout", Value: cfg.WebhookTimeout.String()},
		{Name: "webhook-keep", Value: days(cfg.WebhookKeep)},
		{Name: "(not set) live tokens of a connection", Value: fmt.Sprint(store.MaxLiveTokens)},
		{Name: "(not set) live secrets of a client", Value: fmt.Sprint(store.MaxLiveSecrets)},
		{Name: "(not set) live keys of a product", Value: fmt.Sprint(store.MaxLiveKeys)},
		{Name: "(not set) webhooks of a tenant", Value: fmt.Sprint(store.MaxWebhooks)},
		{Name: "(not set) set-up links of a connection", Value: fmt.Sprint(store.MaxSetupLinks)},
	}
}
