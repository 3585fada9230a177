package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

var (
	seeSettings    = needs{access.ConsoleSettings, access.LevelView}
	changeSettings = needs{access.ConsoleSettings, access.LevelChange}
)

func (s *Server) settingsRoutes() []route {
	return []route{
		{"GET", "/settings", seeSettings, s.settings},
		{"GET", "/settings/administrators.csv", seeSettings, s.administratorsCSV},
		{"GET", "/settings/webhooks", seeSettings, s.webhooks},
		{"POST", "/settings/webhooks", changeSettings, s.webhookAdd},
		{"GET", "/settings/webhooks/{webhook}", seeSettings, s.webhook},
		{"GET", "/settings/webhooks/{webhook}/deliveries.csv", seeSettings, s.deliveriesCSV},
		{"POST", "/settings/webhooks/{webhook}", changeSettings, s.webhookChange},
	}
}

// Webhooks is what the console needs to know of the messages to products; the zero
// Webhooks lets none be added.
type Webhooks struct {
	// Check says what is wrong with an address.
	Check func(address string) error
	// New makes a secret for a webhook: itself, as it is kept, and its end.
	New func(id store.WebhookID) (secret, sealed, hint string)
}

// Setting is one of the server's that is in force, by the name of its flag, which the
// text settings.name.NAME says in the reader's language. Values that are secrets are left
// out.
type Setting struct {
	Name string
	// Value is a string, int, bool, time.Duration, several of these, Bytes or PerSecond.
	Value any
	// Fixed says that there is no flag: it can't be set.
	Fixed bool
}

// Bytes is a size, and PerSecond a rate; 0 of it is no limit.
type (
	Bytes     int64
	PerSecond float64
)

// settingRow is a setting as people read it.
type settingRow struct{ Text, Flag, Value string }

// settingRows are settings in words.
func (w *words) settingRows(all []Setting) (rows []settingRow) {
	for _, one := range all {
		row := settingRow{Text: w.t("settings.name." + one.Name), Value: w.setting(one.Value)}
		if !one.Fixed {
			row.Flag = one.Name
		}
		rows = append(rows, row)
	}
	return rows
}

// setting is a value in words.
func (w *words) setting(value any) string {
	switch value := value.(type) {
	case bool:
		return w.t("settings.value." + map[bool]string{true: "yes", false: "no"}[value])
	case int:
		return w.number(value)
	case Bytes:
		return w.n("sync.bytes", int(value))
	case PerSecond:
		if value == 0 {
			return w.t("settings.value.unlimited")
		}
		return w.t("settings.value.rate", "n", float64(value))
	case time.Duration:
		return w.duration(value)
	case []time.Duration:
		var all []string
		for _, one := range value {
			all = append(all, w.duration(one))
		}
		return strings.Join(all, ", ")
	}
	return cmp.Or(fmt.Sprint(value), w.t("settings.value.none"))
}

// duration is a time in the largest unit that says it in full.
func (w *words) duration(d time.Duration) string {
	for _, unit := range []struct {
		key  string
		size time.Duration
	}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}, {"seconds", time.Second}} {
		if d >= unit.size && d%unit.size == 0 {
			return w.n("settings.value."+unit.key, int(d/unit.size))
		}
	}
	return d.String()
}

// settingsPage is how the tenant is administered, and what the server bounds.
type settingsPage struct {
	page
	Administrators []administrator
	Table          table
	Change, CSV    string
	Providers      []signinRow
	Secrets        []secretRow
	SecretTable    table
	Webhooks       string
	Settings       []settingRow
	SettingTable   table
	Retention      []string
}

// administrator is a way to a right in the console.
type administrator struct {
	Who, Href string
	Role      string
	Where     string
	// Path is how: directly, through a group, like everybody.
	Path, Grant string
	Until       *when
}

// signinRow is a way to sign in.
type signinRow struct {
	Name, Issuer, Href, Link string
	Domains                  string
	Enabled, JIT             bool
}

// secretRow is something that opens an address of ours, without the secret.
type secretRow struct {
	Kind, Of, Href, Hint string
	Made                 when
	Ends, Used           *when
	Bad                  bool
}

func (s *Server) settings(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	if err := v.everywhere(seeSettings); err != nil {
		return err
	}
	p := &settingsPage{
		page: v.page("settings.title"), CSV: "/settings/administrators.csv", Webhooks: v.link("/settings/webhooks"), Settings: v.words.settingRows(s.opts.Settings),
		Table: table{ID: "administrators", Caption: v.words.t("settings.administrators"), Hidden: true,
			Columns: v.columns("settings.who", "settings.role", "settings.where", "settings.path", "settings.until:narrow")},
		SecretTable: table{ID: "secrets", Caption: v.words.t("settings.secrets"), Hidden: true,
			Columns: v.columns("settings.kind", "settings.of", "settings.secret", "settings.made:narrow", "settings.ends:narrow", "settings.used:narrow")},
		SettingTable: table{ID: "settings", Caption: v.words.t("settings.server"), Hidden: true, Columns: v.columns("settings.setting", "settings.value")},
		Retention:    []string{s.kept(v), v.words.t("settings.kept.history"), v.words.t("settings.kept.audit")},
	}
	if v.mayAt(access.ConsoleAccess, access.LevelChange, nil) {
		p.Change = v.link("/mappings/new")
	}
	var err error
	if p.Administrators, err = s.administrators(ctx, v); err != nil {
		return err
	}
	if err := s.waysIn(ctx, v, p); err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "settings", p)
}

// administrators are all grants of the console that are in force, but for what
// everybody has.
func (s *Server) administrators(ctx context.Context, v *visit) ([]administrator, error) {
	var grants []access.Grant
	var people []access.UserID
	var groups []access.GroupID
	for _, g := range v.policy.Grants() {
		if g.Product != access.ConsoleID || !g.InForce(v.now) || g.Subject.Everyone {
			continue
		}
		grants = append(grants, g)
		people, groups = append(people, g.Subject.User), append(groups, g.Subject.Group)
	}
	people = slices.DeleteFunc(people, func(id access.UserID) bool { return id == "" })
	groups = slices.DeleteFunc(groups, func(id access.GroupID) bool { return id == "" })
	names, err := s.store.Names(ctx, v.tenant(), people, groups)
	if err != nil {
		return nil, err
	}
	console, _ := v.policy.Product(access.ConsoleID)
	words := v.granted(v.policy, v.now, nil)
	var all []administrator
	for _, g := range grants {
		a := administrator{Who: names[string(g.Subject.User)], Path: v.words.t("settings.direct"), Href: v.link("/people/" + string(g.Subject.User)),
			Where: words.where(&g, console, 100), Role: v.roleOf(&g, console), Grant: v.link("/mappings/" + string(g.ID))}
		if g.Subject.Group != "" {
			a.Who, a.Path, a.Href = names[string(g.Subject.Group)], v.words.t("settings.group"), v.link("/groups/"+string(g.Subject.Group))
		}
		if a.Who == "" {
			a.Who, a.Href = v.words.t("settings.gone"), ""
		}
		if !g.Until.IsZero() {
			until := v.when(g.Until)
			a.Until = &until
		}
		all = append(all, a)
	}
	rank := func(a administrator) int {
		return slices.IndexFunc(console.Roles, func(r access.Role) bool { return r.Name == a.Role })
	}
	slices.SortStableFunc(all, func(a, b administrator) int {
		return cmp.Or(cmp.Compare(uint(rank(a)), uint(rank(b))), cmp.Compare(store.Fold(a.Who), store.Fold(b.Who)))
	})
	return all, nil
}

// roleOf is what a grant gives, by name.
func (v *visit) roleOf(g *access.Grant, product access.Product) string {
	what := cmp.Or(string(g.Role), string(g.Permission)+" "+string(g.Level))
	for _, role := range product.Roles {
		if role.ID == g.Role {
			what = cmp.Or(role.Name, what)
		}
	}
	if g.Effect == access.Deny {
		what = v.words.t("chip.deny", "what", what)
	}
	return what
}

func (s *Server) administratorsCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.everywhere(seeSettings); err != nil {
		return err
	}
	all, err := s.administrators(r.Context(), v)
	if err != nil {
		return err
	}
	rows := func() (rows [][]string, err error) {
		for _, a := range all {
			until := ""
			if a.Until != nil {
				until = a.Until.Format(time.RFC3339)
			}
			rows = append(rows, []string{a.Who, a.Role, a.Where, a.Path, until})
		}
		all = nil
		return rows, nil
	}
	return v.csv(w, "administrators.csv", []string{"settings.who", "settings.role", "settings.where", "settings.path", "settings.until"}, rows)
}

// waysIn adds how people sign in, and what else opens an address of ours.
func (s *Server) waysIn(ctx context.Context, v *visit, p *settingsPage) error {
	providers, err := s.store.Providers(ctx, v.tenant())
	if err != nil {
		return err
	}
	for _, one := range providers {
		p.Providers = append(p.Providers, signinRow{Name: one.Name, Issuer: one.Issuer, Href: v.link("/sync/" + string(one.ConnectionID) + "/settings"),
			Link: one.Claim + " = " + one.Attribute, Domains: strings.Join(one.Domains, ", "), Enabled: one.Enabled, JIT: one.JIT})
	}
	add := func(kind, of, href string, hint string, made, ends, revoked, used store.Instant) {
		row := v.tokenRow("", hint, made, ends, revoked, used)
		if row.Live {
			p.Secrets = append(p.Secrets, secretRow{Kind: v.words.t(kind), Of: of, Href: href, Hint: hint, Made: row.Made, Ends: row.Ends, Used: row.Used, Bad: row.Bad})
		}
	}
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return err
	}
	for _, c := range connections {
		tokens, err := s.store.Tokens(ctx, c.Ref())
		if err != nil {
			return err
		}
		for _, t := range tokens {
			add("settings.kind.token", c.Name, v.link("/sync/"+string(c.ID)+"/settings"), t.Hint, t.CreatedAt, t.ExpiresAt, t.RevokedAt, t.LastUsedAt)
		}
	}
	for _, product := range v.policy.Products() {
		keys, err := s.store.Keys(ctx, v.tenant(), product.ID)
		if err != nil {
			return err
		}
		for _, k := range keys {
			add("settings.kind.key", cmp.Or(product.Name, string(product.ID)), v.link("/products/"+string(product.ID)), k.Hint, k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt)
		}
	}
	return nil
}

// webhooksPage lists where products are told what changed.
type webhooksPage struct {
	page
	Webhooks []webhookRow
	Table    table
	// Add is whether the visitor may add one.
	Add     bool
	Product field
	URL     field
	Empty   empty
}

type webhookRow struct {
	Href, Product, URL, State string
	Bad                       bool
	Made                      when
}

func (s *Server) webhooks(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := s.webhooksPage(r.Context(), v)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "webhooks", p)
}

func (s *Server) webhooksPage(ctx context.Context, v *visit) (*webhooksPage, error) {
	if err := v.everywhere(seeSettings); err != nil {
		return nil, err
	}
	p := &webhooksPage{
		page:  v.page("settings.webhooks"),
		Table: table{ID: "webhooks", Caption: v.words.t("settings.webhooks"), Hidden: true, Columns: v.columns("settings.product", "settings.address:wide", "settings.state", "settings.made:narrow")},
		Add:   v.mayAt(access.ConsoleSettings, access.LevelChange, nil) && s.opts.Webhooks.New != nil,
		URL:   field{Name: "url", Label: v.words.t("settings.address"), Type: "url", Hint: v.words.t("settings.address.hint")},
		Empty: empty{Text: v.words.t("settings.noWebhooks")},
	}
	var options []option
	for _, product := range v.policy.Products() {
		options = append(options, option{Value: string(product.ID), Text: cmp.Or(product.Name, string(product.ID))})
	}
	p.Product = choose("product", v.words.t("settings.product"), v.words.t("connect.choose"), "", options)
	hooks, err := s.store.Webhooks(ctx, v.tenant())
	for _, hook := range hooks {
		p.Webhooks = append(p.Webhooks, v.webhookRow(hook))
	}
	return p, err
}

func (v *visit) webhookRow(hook store.Webhook) webhookRow {
	product, _ := v.policy.Product(hook.Product)
	row := webhookRow{Href: "/settings/webhooks/" + string(hook.ID), Product: cmp.Or(product.Name, string(hook.Product)), URL: hook.URL,
		State: v.words.t("settings.works"), Made: v.instant(hook.CreatedAt)}
	if !hook.DisabledAt.IsZero() {
		row.State, row.Bad = v.words.t("settings.disabled", "why", hook.DisabledWhy), true
	}
	return row
}

// webhookAdd adds a webhook, and shows its secret once.
func (s *Server) webhookAdd(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	if err := v.everywhere(changeSettings); err != nil {
		return err
	}
	product, address := access.ProductID(r.PostFormValue("product")), strings.TrimSpace(r.PostFormValue("url"))
	again := func(status int, where, problem string) error {
		p, err := s.webhooksPage(ctx, v)
		if err != nil {
			return err
		}
		p.URL.Value = address
		p.Product = choose("product", p.Product.Label, p.Product.Any, string(product), p.Product.Options)
		if where == "url" {
			p.URL.Error = problem
		} else {
			p.Product.Error = problem
		}
		return s.render(w, status, "webhooks", p)
	}
	if s.opts.Webhooks.New == nil {
		return badRequest{"problem.invalid"}
	}
	if err := s.opts.Webhooks.Check(address); err != nil {
		return again(http.StatusBadRequest, "url", v.words.t("settings.address.wrong", "why", err.Error()))
	}
	var hook store.Webhook
	var secret string
	err := s.store.Write(ctx, v.actor(), func(tx *store.Tx) (err error) {
		if hook, err = tx.AddWebhook(ctx, product, address); err == nil {
			secret, err = s.newWebhookSecret(ctx, tx, hook.ID, 0)
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return again(http.StatusBadRequest, "product", v.words.t("settings.product.missing"))
	case errors.Is(err, store.ErrTaken):
		return again(http.StatusConflict, "url", v.words.t("settings.address.taken"))
	case errors.Is(err, store.ErrTooLong), errors.Is(err, store.ErrInvalid):
		return again(http.StatusBadRequest, "url", v.words.t("settings.address.wrong", "why", err.Error()))
	case errors.Is(err, store.ErrLimit):
		return again(http.StatusConflict, "url", v.words.t("settings.webhooks.many"))
	case err != nil:
		return err
	}
	return s.tell(w, r, "/settings/webhooks/"+string(hook.ID), v.holder(), once{Webhook: secret})
}

func (s *Server) newWebhookSecret(ctx context.Context, tx *store.Tx, id store.WebhookID, overlap time.Duration) (string, error) {
	secret, sealed, hint := s.opts.Webhooks.New(id)
	_, err := tx.RotateWebhook(ctx, id, sealed, hint, overlap)
	return secret, err
}

// webhookPage is one webhook with what was sent to it.
type webhookPage struct {
	page
	webhookRow
	Back       string
	Told       once
	Change     bool
	Disabled   bool
	Secrets    []tokenRow
	Deliveries []deliveryRow
	Table      table
	Dead       int
	Filter     field
	CSV        string
	Kept       string
	Shown      int
}

type deliveryRow struct {
	ID, Type, Who, Href, State, Error string
	At                                when
	Attempts                          int
	Next                              *when
	Dead                              bool
}

// maxDeliveries is how many of the newest a page lists.
const maxDeliveries = 200

// findWebhook is the webhook in the address.
func (s *Server) findWebhook(r *http.Request, v *visit) (store.Webhook, error) {
	hooks, err := s.store.Webhooks(r.Context(), v.tenant())
	if err != nil {
		return store.Webhook{}, err
	}
	i := slices.IndexFunc(hooks, func(hook store.Webhook) bool { return string(hook.ID) == r.PathValue("webhook") })
	if i < 0 {
		return store.Webhook{}, fmt.Errorf("webhook %q: %w", r.PathValue("webhook"), store.ErrNotFound)
	}
	return hooks[i], nil
}

func (s *Server) webhook(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	if err := v.everywhere(seeSettings); err != nil {
		return err
	}
	hook, err := s.findWebhook(r, v)
	if err != nil {
		return err
	}
	p := &webhookPage{page: v.page("settings.webhook"), webhookRow: v.webhookRow(hook), Back: "/settings/webhooks", Told: s.told(w, r, v.holder()),
		Change: v.mayAt(access.ConsoleSettings, access.LevelChange, nil), Disabled: !hook.DisabledAt.IsZero(),
		CSV: address(r.URL.Path+"/deliveries.csv", r.URL.Query(), "", ""),
		Table: table{ID: "deliveries", Caption: v.words.t("settings.deliveries"), Hidden: true,
			Columns: v.columns("settings.when:narrow", "settings.event", "settings.who", "settings.state", "settings.attempts:number", "settings.do:narrow")}}
	secrets, err := s.store.WebhookSecrets(ctx, v.tenant(), hook.ID)
	if err != nil {
		return err
	}
	for _, one := range secrets {
		if one.Live(v.now) {
			p.Secrets = append(p.Secrets, v.tokenRow(one.ID, one.Hint, one.CreatedAt, one.ExpiresAt, store.Instant{}, store.Instant{}))
		}
	}
	found, err := s.deliveries(r, v, hook)
	if err != nil {
		return err
	}
	if p.Deliveries, err = s.deliveryRows(ctx, v, found); err != nil {
		return err
	}
	p.Shown = len(found)
	for _, d := range found {
		if d.State == store.DeliveryDead {
			p.Dead++
		}
	}
	var options []option
	for _, state := range []string{store.DeliveryWaiting, store.DeliveryDelivered, store.DeliveryDead} {
		options = append(options, option{Value: state, Text: v.words.t("settings.delivery." + state)})
	}
	p.Filter = choose("state", v.words.t("settings.state"), v.words.t("settings.anyState"), r.URL.Query().Get("state"), options)
	return s.render(w, http.StatusOK, "webhook", p)
}

func (s *Server) deliveries(r *http.Request, v *visit, hook store.Webhook) ([]store.Delivery, error) {
	q := store.DeliveryQuery{Webhooks: []store.WebhookID{hook.ID}, State: r.URL.Query().Get("state"), Limit: maxDeliveries}
	if !slices.Contains([]string{"", store.DeliveryWaiting, store.DeliveryDelivered, store.DeliveryDead}, q.State) {
		return nil, badRequest{"problem.invalid"}
	}
	return s.store.Deliveries(r.Context(), v.tenant(), q)
}

func (s *Server) deliveryRows(ctx context.Context, v *visit, found []store.Delivery) ([]deliveryRow, error) {
	var people []access.UserID
	for _, d := range found {
		people = append(people, access.UserID(d.UserID))
	}
	names, err := s.store.Names(ctx, v.tenant(), people, nil)
	var rows []deliveryRow
	for _, d := range found {
		row := deliveryRow{ID: string(d.ID), Type: d.Type, Who: cmp.Or(names[string(d.UserID)], string(d.UserID)), Error: d.Error, At: v.instant(d.CreatedAt),
			State: v.words.t("settings.delivery." + d.State), Attempts: d.Attempts, Dead: d.State == store.DeliveryDead}
		if names[string(d.UserID)] != "" {
			row.Href = v.link("/people/" + string(d.UserID))
		}
		if d.State == store.DeliveryWaiting {
			next := v.instant(d.NextAt)
			row.Next = &next
		}
		rows = append(rows, row)
	}
	return rows, err
}

func (s *Server) deliveriesCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.everywhere(seeSettings); err != nil {
		return err
	}
	hook, err := s.findWebhook(r, v)
	if err != nil {
		return err
	}
	found, err := s.deliveries(r, v, hook)
	if err != nil {
		return err
	}
	shown, err := s.deliveryRows(r.Context(), v, found)
	if err != nil {
		return err
	}
	rows := func() (rows [][]string, err error) {
		for _, d := range shown {
			rows = append(rows, []string{d.At.UTC().Format(time.RFC3339), d.Type, d.Who, d.State, fmt.Sprint(d.Attempts), d.Error, d.ID})
		}
		shown = nil
		return rows, nil
	}
	return v.csv(w, "deliveries.csv", []string{"settings.when", "settings.event", "settings.who", "settings.state", "settings.attempts", "settings.error", "settings.id"}, rows)
}

// webhookOverlap is how long an old secret signs beside the new one.
const webhookOverlap = 24 * time.Hour

// webhookChange does with a webhook what the form says.
func (s *Server) webhookChange(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	if err := v.everywhere(changeSettings); err != nil {
		return err
	}
	hook, err := s.findWebhook(r, v)
	if err != nil {
		return err
	}
	page, said := "/settings/webhooks/"+string(hook.ID), ""
	write := func(f func(tx *store.Tx) error) error { return s.store.Write(ctx, v.actor(), f) }
	switch r.PostFormValue("do") {
	case "rotate", "rotate-now":
		overlap := webhookOverlap
		if r.PostFormValue("do") == "rotate-now" {
			overlap = 0
		}
		if s.opts.Webhooks.New == nil {
			return badRequest{"problem.invalid"}
		}
		var secret string
		err := write(func(tx *store.Tx) (err error) {
			secret, err = s.newWebhookSecret(ctx, tx, hook.ID, overlap)
			return err
		})
		if err != nil {
			return err
		}
		return s.tell(w, r, page, v.holder(), once{Webhook: secret})
	case "disable":
		said = "settings.said.disabled"
		err = write(func(tx *store.Tx) error { return tx.DisableWebhook(ctx, hook.ID, v.words.t("settings.byHand")) })
	case "enable":
		said = "settings.said.enabled"
		err = write(func(tx *store.Tx) error { return tx.EnableWebhook(ctx, hook.ID) })
	case "remove":
		page, said = "/settings/webhooks", "settings.said.removed"
		err = write(func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, hook.ID) })
	case "retry-all":
		said = "settings.said.retried"
		err = write(func(tx *store.Tx) error { _, err := tx.RetryDeliveries(ctx, hook.ID); return err })
	case "retry":
		said = "settings.said.retried"
		err = write(func(tx *store.Tx) error {
			_, err := tx.RetryDelivery(ctx, store.DeliveryID(r.PostFormValue("delivery")))
			return err
		})
		if errors.Is(err, store.ErrSuperseded) {
			return s.say(w, r, page, "", "settings.said.superseded")
		}
	default:
		return badRequest{"problem.invalid"}
	}
	if errors.Is(err, store.ErrInvalid) {
		return s.say(w, r, page, "", "settings.said.firstEnable")
	}
	if err != nil {
		return err
	}
	return s.say(w, r, page, "", said)
}
