package main

import (
	"context"
	"log/slog"
	"strings"

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
// of their flags, and what can't be set. Secrets are not among them.
func inForce(cfg serveSettings) []ui.Setting {
	var proxies []string
	for _, n := range cfg.TrustedProxies {
		proxies = append(proxies, n.String())
	}
	return []ui.Setting{
		{Name: "url", Value: cfg.URL},
		{Name: "max-body", Value: ui.Bytes(cfg.MaxBody)},
		{Name: "max-bulk", Value: cfg.MaxBulk},
		{Name: "max-page", Value: cfg.MaxPage},
		{Name: "rate-limit", Value: ui.PerSecond(cfg.RateLimit)},
		{Name: "key-rate-limit", Value: ui.PerSecond(cfg.KeyRateLimit)},
		{Name: "access-token-life", Value: cfg.AccessTokenLife},
		{Name: "session-idle", Value: cfg.SessionIdle},
		{Name: "session-life", Value: cfg.SessionLife},
		{Name: "trusted-proxies", Value: strings.Join(proxies, ", ")},
		{Name: "record-for", Value: cfg.RecordFor},
		{Name: "record-personal", Value: cfg.RecordPersonal},
		{Name: "webhook-allow-private", Value: cfg.WebhookAllowPrivate},
		{Name: "webhook-retries", Value: cfg.WebhookRetries},
		{Name: "webhook-timeout", Value: cfg.WebhookTimeout},
		{Name: "webhook-keep", Value: cfg.WebhookKeep},
		{Name: "tokens", Value: store.MaxLiveTokens, Fixed: true},
		{Name: "secrets", Value: store.MaxLiveSecrets, Fixed: true},
		{Name: "keys", Value: store.MaxLiveKeys, Fixed: true},
		{Name: "webhooks", Value: store.MaxWebhooks, Fixed: true},
		{Name: "links", Value: store.MaxSetupLinks, Fixed: true},
	}
}
