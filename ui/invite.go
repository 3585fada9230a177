package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	outbox "gatehouse/internal/mail"
	"gatehouse/store"
)

// invitePage asks somebody in. All of it is in the address, as in the editor of
// mappings, with what it gives below.
type invitePage struct {
	page
	Who, Email, Sponsor field
	Kind                field
	What                picker
	Where               []picker
	End                 []pick
	Until               field
	Open, MailLang      field
	Mails               bool
	Panel               *panel
}

// inviteForm reads the form of an invitation.
type inviteForm struct {
	*editor
	invitation store.Invitation
	lang       string
}

// kinds are those of people that can be invited, the usual one first.
var kinds = []access.Kind{access.KindContractor, access.KindClient, access.KindGuest, access.KindEmployee}

// ends are when an account can end: after so many days, on a day of one's own, or not
// at all.
var ends = []string{"30", "90", "own", "never"}

func (s *Server) invite(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	f := &inviteForm{editor: s.editor(v, r.URL.Query(), access.Grant{})}
	if err := f.read(ctx); err != nil {
		return err
	}
	p := &invitePage{page: v.page("invitations.new"), Mails: s.mail != nil}
	f.fill(p)
	show := func(status int, panel *panel) error {
		p.Panel = panel
		panel.Save = f.save()
		return s.render(w, status, "invite", p)
	}
	if f.waiting != "" {
		status := http.StatusOK
		if r.Method == http.MethodPost {
			status = http.StatusBadRequest
		}
		return show(status, &panel{Waiting: f.waiting})
	}
	var made store.Invitation
	var secret string
	guest := impact.Guest{Name: f.invitation.DisplayName, Grants: f.invitation.Grants,
		Person: store.Person{Kind: f.invitation.Kind, LoginAllowed: true, ExpiresAt: f.invitation.AccountEnds.Time, Sponsor: f.invitation.Sponsor}}
	change := proposal{
		Proposal: impact.Proposal{Guests: []impact.Guest{guest}}, action: address(r.URL.Path, f.values, "csv", ""),
		also: func(tx *store.Tx) (err error) {
			if made, secret, err = tx.CreateInvitation(ctx, f.invitation); err != nil {
				return err
			}
			return s.queueInvitation(r, tx, v, made, secret, f.lang)
		},
		then: func(saved impact.Saved) error {
			if saved.Again { // the second of two clicks
				return s.redirect(w, r, "/invitations")
			}
			return s.handOver(w, r, v, made, secret)
		},
	}
	err := s.propose(w, r, v, change, show)
	if key := emailProblem(err); key != "" {
		f.errors["email"] = v.words.t(key)
		f.fill(p)
		return show(http.StatusBadRequest, &panel{Waiting: v.words.t("mappings.mend")})
	}
	return err
}

// save is what the button says.
func (f *inviteForm) save() string {
	w := f.visit.words
	switch {
	case f.invitation.Form == store.InvitationCode:
		return w.t("invitations.make.code")
	case f.server.mail == nil:
		return w.t("invitations.make.link")
	}
	return w.t("invitations.make.mail")
}

// read makes the invitation of the form.
func (f *inviteForm) read(ctx context.Context) error {
	v, values := f.visit, f.values
	// Roles that only a person may have are for her, too.
	f.grant = access.Grant{Effect: access.Allow, Origin: access.OriginInvitation, Subject: access.Grantee{User: "guest"}}
	if what := values.Get("what"); what != "" && !readWhat(what, &f.grant) {
		return badRequest{"problem.invalid"}
	}
	var known bool
	if f.product, known = v.policy.Product(f.grant.Product); !known && f.grant.Product != "" {
		return badRequest{"problem.invalid"}
	}
	f.grant.Scope = f.scope()
	one := store.Invitation{Kind: kinds[0], DisplayName: strings.TrimSpace(values.Get("name")), Email: strings.TrimSpace(values.Get("email")),
		Form: store.InvitationLink, Sponsor: v.session.UserID}
	if one.Email == "" {
		one.Form = store.InvitationCode
	} else if parsed, err := mail.ParseAddress(one.Email); err != nil || parsed.Address != one.Email {
		f.errors["email"] = v.words.t("invitations.emailWrong")
	}
	one.DisplayName = cmp.Or(one.DisplayName, one.Email)
	if len(one.DisplayName) > 200 {
		f.errors["name"] = v.words.t("invitations.nameLong")
	} else if strings.ContainsFunc(one.DisplayName, store.Turns) {
		f.errors["name"] = v.words.t("sites.turns")
	}
	if kind := access.Kind(values.Get("kind")); kind != "" {
		if one.Kind = kind; !slices.Contains(kinds, kind) {
			return badRequest{"problem.invalid"}
		}
	}
	if f.lang = values.Get("lang"); f.lang != "" && !slices.Contains(languages, f.lang) {
		return badRequest{"problem.invalid"}
	}
	until, ok := v.openUntil(values.Get("open"))
	if !ok {
		return badRequest{"problem.invalid"}
	}
	one.ExpiresAt = until
	if err := f.readSponsor(ctx, &one); err != nil {
		return err
	}
	if err := f.readEnd(&one); err != nil {
		return err
	}
	grant := f.grant
	grant.Subject = access.Grantee{}
	one.Grants = []access.Grant{grant}
	f.invitation = one
	switch {
	case len(f.errors) > 0:
		f.waiting = v.words.t("mappings.mend")
	case one.DisplayName == "":
		f.waiting = v.words.t("invitations.chooseWho")
	case f.grant.Product == "" || f.grant.Scope.Zero():
		f.waiting = v.words.t("mappings.choose")
	}
	return nil
}

// readSponsor finds who answers for the person: somebody by her user name, or the
// visitor herself.
func (f *inviteForm) readSponsor(ctx context.Context, one *store.Invitation) error {
	text := strings.TrimSpace(f.values.Get("sponsor"))
	if text == "" {
		return nil
	}
	found, _, err := f.server.store.Somebody(ctx, f.visit.tenant(), text)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrAmbiguous), err == nil && !found.Person.Live(f.visit.now):
		f.errors["sponsor"] = f.visit.words.t("invitations.noSponsor")
		return nil
	}
	one.Sponsor = store.UserID(found.ID)
	return err
}

// readEnd reads when the account ends: at the end of a day.
func (f *inviteForm) readEnd(one *store.Invitation) error {
	v := f.visit
	today := v.now.In(v.zone)
	today = time.Date(today.Year(), today.Month(), today.Day(), 0, 0, 0, 0, v.zone)
	last := time.Time{}
	switch end := f.values.Get("end"); end {
	case "", "30":
		last = today.AddDate(0, 0, 30)
	case "90":
		last = today.AddDate(0, 0, 90)
	case "never":
		return nil
	case "own":
		var err error
		last, err = time.ParseInLocation(time.DateOnly, f.values.Get("until"), v.zone)
		if err != nil || last.Before(today) || last.Year() > 2200 {
			f.errors["until"] = v.words.t("invitations.noDate")
			return nil
		}
	default:
		return badRequest{"problem.invalid"}
	}
	one.AccountEnds = store.At(last.AddDate(0, 0, 1).Add(-time.Millisecond))
	return nil
}

// fill puts the form on its page.
func (f *inviteForm) fill(p *invitePage) {
	v, w, values := f.visit, f.visit.words, f.values
	p.Who = field{Name: "name", Label: w.t("invitations.name"), Value: values.Get("name"), Hint: w.t("invitations.nameHint"), Error: f.errors["name"]}
	p.Email = field{Name: "email", Type: "email", Label: w.t("invitations.email"), Value: values.Get("email"), Hint: w.t("invitations.emailHint"), Error: f.errors["email"]}
	p.Sponsor = field{Name: "sponsor", Label: w.t("invitations.sponsor"), Value: values.Get("sponsor"), Any: v.person.UserName, Hint: w.t("invitations.sponsorHint"), Error: f.errors["sponsor"]}
	var options []option
	for _, kind := range kinds[1:] {
		options = append(options, option{Value: string(kind), Text: w.t("kind." + string(kind))})
	}
	p.Kind = choose("kind", w.t("people.kind"), w.t("kind."+string(kinds[0])), values.Get("kind"), options)
	p.What = picker{Name: "what", Legend: w.t("invitations.gets"), Type: "radio"}
	p.What.choose(v, f.whatOptions(), values)
	p.Where = f.where()
	p.End = nil
	for _, end := range ends {
		p.End = append(p.End, pick{ID: "end-" + end, Value: end, Text: w.t("invitations.end." + end), Checked: end == cmp.Or(values.Get("end"), ends[0])})
	}
	p.Until = field{Name: "until", Type: "date", Label: w.t("invitations.until"), Value: values.Get("until"), Error: f.errors["until"]}
	p.Open, p.MailLang = v.openDays(values.Get("open")), v.mailLanguage(values.Get("lang"))
}

// queueInvitation has the mail of an invitation sent, if it goes by mail and there is
// a server for it.
func (s *Server) queueInvitation(r *http.Request, tx *store.Tx, v *visit, one store.Invitation, secret, lang string) error {
	if s.mail == nil || one.Form != store.InvitationLink {
		return nil
	}
	w := s.words[cmp.Or(lang, v.words.lang)]
	reader := *v
	reader.words = w
	var may []string
	for _, c := range reader.chipsOf(v.policy, one.Grants) {
		may = append(may, c.Title)
	}
	lines := []string{w.t("accept.hello", "name", one.DisplayName), ""}
	switch by := name(v.person); {
	case one.UserID != "":
		lines = append(lines, w.t("invitations.text.again", "by", by))
	default:
		lines = append(lines, w.t("invitations.text.first", "by", by), w.t("invitations.text.access", "access", w.list(may)))
		if !one.AccountEnds.IsZero() {
			lines = append(lines, w.t("invitations.text.until", "date", w.date(one.AccountEnds.In(v.zone))))
		}
	}
	lines = append(lines, "", w.t("invitations.text.open"), "", s.base(r)+"/i/"+url.PathEscape(secret), "",
		w.t("invitations.text.once", "date", w.clock(one.ExpiresAt.In(v.zone))), "", w.t("invitations.text.unexpected"))
	return s.mail.Queue(r.Context(), tx, one.ID, outbox.Message{
		To: one.Email, Subject: w.t("invitations.text.subject", "by", name(v.person)), Text: strings.Join(lines, "\n") + "\n",
	})
}
