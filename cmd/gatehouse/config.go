package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"gatehouse/internal/mail"
	"gatehouse/store"
	"gatehouse/ui"
	"gatehouse/webhook"
)

// settings are flags, variables GATEHOUSE_… of the same name, or keys of the
// file named by --config; the first of these that is set counts. Each has a
// default that works.
type settings struct {
	Config kong.ConfigFlag `help:"A YAML file with settings: the flags' names without dashes in front." placeholder:"FILE"`
	JSON   bool            `name:"json" help:"Print results as JSON."`

	DatabaseURL         string     `help:"sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME." default:"sqlite://gatehouse.db" placeholder:"URL"`
	DatabaseConnections int        `help:"The most connections to PostgreSQL." default:"20" placeholder:"N"`
	LogLevel            slog.Level `help:"What to log: debug, info, warn or error." default:"info" placeholder:"LEVEL"`
}

// publicURL is the setting url, of the commands that print or serve addresses.
type publicURL struct {
	URL string `name:"url" help:"The public address of the server, such as https://gatehouse.example." placeholder:"URL"`
}

// serveSettings are those of the server alone.
type serveSettings struct {
	publicURL       `embed:""`
	Listen          string        `help:"Address to listen on." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	MetricsListen   string        `help:"Address for /metrics, on a listener of its own; none by default." placeholder:"HOST:PORT"`
	MaxBody         int64         `help:"Largest request body in bytes." default:"33554432" placeholder:"BYTES"`
	MaxBulk         int           `help:"Most operations of a bulk request, 10 to 10000." default:"1000" placeholder:"N"`
	MaxPage         int           `help:"Most users or groups on a page of a SCIM list, 10 to 10000." default:"1000" placeholder:"N"`
	SecretKey       string        `help:"At least 32 characters that cursors are signed and webhooks' secrets sealed with; by default a key is made and kept in the database." placeholder:"KEY"`
	RateLimit       float64       `help:"Most requests a second of one connection, at least 25; 0 means no limit." default:"0" placeholder:"N"`
	KeyRateLimit    float64       `help:"Most requests a second of one product key, at least 100; 0 means no limit." default:"0" placeholder:"N"`
	RecordFor       time.Duration `help:"How long requests and their answers are kept to look at with 'gatehouse requests'; 0 keeps none." default:"168h" placeholder:"TIME"`
	RecordPersonal  bool          `help:"Keep names, addresses and other personal values in them; --no-record-personal masks them." default:"true" negatable:""`
	AccessTokenLife time.Duration `help:"How long an OAuth access token works, 1h to 6h." default:"1h" placeholder:"TIME"`
	SessionIdle     time.Duration `help:"After how long without use a session of the console ends, 5m to session-life." default:"30m" placeholder:"TIME"`
	SessionLife     time.Duration `help:"After how long one ends in any case, 15m to 720h." default:"12h" placeholder:"TIME"`
	TrustedProxies  []network     `help:"Addresses or networks of the proxies in front, whose X-Forwarded-For is believed; none by default." placeholder:"CIDR"`
	LoopbackIssuers bool          `help:"Let issuers be on this machine: for tests." hidden:""`
	mailSettings    `embed:""`
	webhookSettings `embed:""`
	ShutdownTimeout time.Duration `help:"How long requests in progress may take when the server stops." default:"20s" placeholder:"TIME"`

	// standIns are the demo's.
	standIns func() []ui.StandIn
}

// network is a range of addresses, or one.
type network struct{ netip.Prefix }

// UnmarshalText reads 10.0.0.0/8, 10.0.0.7, or the same of IPv6, also IPv4 as IPv6
// writes it. Of everybody's network anybody could say where they come from.
func (n *network) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if one, oneErr := netip.ParseAddr(string(text)); oneErr == nil {
		prefix, err = netip.PrefixFrom(one, one.BitLen()), nil
	}
	if addr := prefix.Addr(); addr.Is4In6() {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96) // of a wider one it isn't valid
	}
	if err != nil || prefix.Bits() <= 0 {
		return fmt.Errorf("%q: want the proxies' addresses, such as 10.0.0.7 or 10.0.0.0/24", text)
	}
	n.Prefix = prefix.Masked()
	return nil
}

// mailSettings are those of sending invitations.
type mailSettings struct {
	SMTPURL  string `name:"smtp-url" help:"The mail server for invitations: smtp://USER:PASSWORD@HOST:587, or smtps://… for TLS from the start; without one there are links to copy." placeholder:"URL"`
	MailFrom string `help:"Who mails are from, such as \"Gatehouse <gatehouse@example.com>\"." placeholder:"ADDRESS"`

	// shown takes the mails of the demo instead.
	shown *mail.Shown
}

// send is how mails are sent; nil for not at all.
func (s *mailSettings) send() (mail.Send, error) {
	switch {
	case s.shown != nil:
		return s.shown.Send, nil
	case s.SMTPURL == "":
		return nil, nil
	}
	return mail.SMTP(s.SMTPURL, s.MailFrom)
}

func (s *mailSettings) check(url string) error {
	if s.SMTPURL != "" && url == "" {
		return errors.New("smtp-url: the setting url is needed, too: links in mails lead there")
	}
	_, err := s.send()
	return err
}

// webhookSettings are those of telling products what changed.
type webhookSettings struct {
	WebhookAllowPrivate bool            `help:"Also send webhooks to private addresses and by http: for products in your own network."`
	WebhookRetries      []time.Duration `help:"The pauses before a webhook's message is sent again; after the last it is dead." default:"5s,30s,2m,10m,1h,6h,24h" placeholder:"TIMES"`
	WebhookTimeout      time.Duration   `help:"How long a webhook's receiver may take, 1s to 10s." default:"10s" placeholder:"TIME"`
	WebhookKeep         time.Duration   `help:"How long messages that were sent or given up can be looked at." default:"720h" placeholder:"TIME"`
}

func (s *webhookSettings) check() error {
	for _, wait := range s.WebhookRetries {
		if wait <= 0 {
			return fmt.Errorf("webhook-retries %v: want times such as 5s,2m,1h", s.WebhookRetries)
		}
	}
	switch {
	case len(s.WebhookRetries) > 50:
		return errors.New("webhook-retries: want at most 50")
	case s.WebhookTimeout < time.Second || s.WebhookTimeout > webhook.MaxTimeout:
		return fmt.Errorf("webhook-timeout %v: want 1s to %v", s.WebhookTimeout, webhook.MaxTimeout)
	case s.WebhookKeep < time.Hour:
		return fmt.Errorf("webhook-keep %v: want at least 1h", s.WebhookKeep)
	}
	return nil
}

// checkSecretKey refuses a key that could be guessed.
func checkSecretKey(key string) error {
	if key != "" && len(key) < 32 {
		return errors.New("secret-key: want at least 32 characters, such as the output of 'openssl rand -hex 32'")
	}
	return nil
}

// minRate is what Entra's gallery requires a tenant to be able to send each second.
const minRate = 25

// minKeyRate leaves room for a product that asks with each click of all its people.
const minKeyRate = 100

// minRecordFor leaves time to look at what was recorded.
const minRecordFor = time.Minute

// AfterApply refuses an address that clients could not call.
func (s *publicURL) AfterApply() error {
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.User != nil {
		return errors.New("url: want https://HOST, without a name or password in it") // and don't repeat it
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("url %q: want https://HOST, optionally with a path", s.URL)
	}
	return nil
}

// AfterApply refuses settings that can't work.
func (s *serveSettings) AfterApply() error {
	if err := s.publicURL.AfterApply(); err != nil {
		return err
	}
	switch {
	case s.RateLimit != 0 && !(s.RateLimit >= minRate):
		return fmt.Errorf("rate-limit %v: want 0 or at least %d, since Entra sends that many", s.RateLimit, minRate)
	case s.KeyRateLimit != 0 && !(s.KeyRateLimit >= minKeyRate):
		return fmt.Errorf("key-rate-limit %v: want 0 or at least %d, since products ask with each click", s.KeyRateLimit, minKeyRate)
	case s.AccessTokenLife < store.MinAccessTokenLife || s.AccessTokenLife > store.MaxAccessTokenLife:
		return fmt.Errorf("access-token-life %v: want %v to %v, since Entra does", s.AccessTokenLife, store.MinAccessTokenLife, store.MaxAccessTokenLife)
	case s.SessionLife < store.MinSessionLife || s.SessionLife > store.MaxSessionLife:
		return fmt.Errorf("session-life %v: want %v to %v", s.SessionLife, store.MinSessionLife, store.MaxSessionLife)
	case s.SessionIdle < store.MinSessionIdle || s.SessionIdle > s.SessionLife:
		return fmt.Errorf("session-idle %v: want %v to session-life, which is %v", s.SessionIdle, store.MinSessionIdle, s.SessionLife)
	case s.RecordFor != 0 && s.RecordFor < minRecordFor:
		return fmt.Errorf("record-for %v: want 0 or at least %v", s.RecordFor, minRecordFor)
	case s.ShutdownTimeout < 0:
		return fmt.Errorf("shutdown-timeout %v: want a time such as 20s", s.ShutdownTimeout)
	case s.MaxBody < 1024 || s.MaxBody > 1<<30:
		return fmt.Errorf("max-body %d: want 1024 bytes to 1 GiB, %d", s.MaxBody, 1<<30)
	case s.MaxBulk < 10 || s.MaxBulk > 10_000:
		return fmt.Errorf("max-bulk %d: want 10 to 10000 operations", s.MaxBulk)
	case s.MaxPage < 10 || s.MaxPage > 10_000:
		return fmt.Errorf("max-page %d: want 10 to 10000 resources", s.MaxPage)
	}
	return errors.Join(checkSecretKey(s.SecretKey), s.mailSettings.check(s.URL), s.webhookSettings.check())
}

// yamlSettings reads a file of settings. A key that is no setting is an error:
// a misspelt one would otherwise go unnoticed.
func yamlSettings(r io.Reader) (kong.Resolver, error) {
	values := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("config: %w", err)
	}
	return yamlResolver(values), nil
}

type yamlResolver map[string]any

func (y yamlResolver) Validate(app *kong.Application) error {
	known := map[string]bool{}
	var collect func(n *kong.Node)
	collect = func(n *kong.Node) {
		for _, f := range n.Flags {
			known[f.Name] = true
		}
		for _, c := range n.Children {
			collect(c)
		}
	}
	collect(app.Node)
	for key := range y {
		if !known[key] {
			return fmt.Errorf("config: %q is no setting; 'gatehouse serve --help' lists them", key)
		}
	}
	return nil
}

func (y yamlResolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := y[flag.Name]
	ok = ok && len(flag.Envs) > 0 // an argument of one command that happens to have a setting's name is none
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			ok = false // the variable counts more
		}
	}
	if !ok {
		return nil, nil
	}
	return fmt.Sprint(v), nil
}
