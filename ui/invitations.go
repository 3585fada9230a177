package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rsc.io/qr"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) invitationsRoutes() []route {
	view, change := needs{access.ConsolePeople, access.LevelView}, needs{access.ConsolePeople, access.LevelChange}
	return []route{
		{"GET", "/invitations", view, s.invitations},
		{"GET", "/invitations/new", change, s.invite},
		{"POST", "/invitations/new", change, s.invite},
		{"GET", "/invitations/{id}", view, s.invitation},
		{"GET", "/invitations/{id}/secret", change, s.invitationSecret},
		{"POST", "/invitations/{id}/resend", change, s.resendInvitation},
		{"POST", "/invitations/{id}/withdraw", change, s.withdrawInvitation},
		{"POST", "/invitations/{id}/again", change, s.inviteAgain},
	}
}

// invitationsPage is the list of invitations, the newest first.
type invitationsPage struct {
	page
	Filters  []field
	Filtered bool
	Table    table
	Rows     []invitationRow
	Pager    pager
	Empty    empty
	New      string // "" for who may not invite
}

type invitationRow struct {
	Who, Email, Href string
	Kind             string
	Chips            []chip
	State            string
	Bad              bool
	Until            when // the invitation's end, while it is open
	Sponsor          string
	Mail             mailState
}

// mailState is what became of the last mail of an invitation.
type mailState struct {
	Text  string
	At    when // zero for none
	Bad   bool
	Error string // as the mail server says it
}

const invitationsPerPage = 50

// invitationStates are those that the list can be narrowed to.
var invitationStates = []string{store.InvitationOpen, store.InvitationExpired, store.InvitationLocked, store.InvitationAccepted, store.InvitationWithdrawn}

func (s *Server) invitations(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, query := r.Context(), r.URL.Query()
	before, err := place[store.InvitationID](r)
	if err != nil {
		return err
	}
	state, mine := query.Get("state"), query.Get("sponsor") == "me"
	if state != "" && !slices.Contains(invitationStates, state) {
		return badRequest{"problem.invalid"}
	}
	q := store.InvitationQuery{State: state, Before: before, Limit: invitationsPerPage + 1}
	if mine {
		q.Sponsor = v.session.UserID
	}
	found, err := s.store.Invitations(ctx, v.tenant(), q)
	if err != nil {
		return err
	}
	var states []option
	for _, one := range invitationStates {
		states = append(states, option{Value: one, Text: v.words.t("invitations.state." + one)})
	}
	p := &invitationsPage{page: v.page("invitations.title"), Filtered: state != "" || mine, New: v.link("/invitations/new"),
		Filters: []field{
			choose("state", v.words.t("invitations.state"), v.words.t("invitations.anyState"), state, states),
			choose("sponsor", v.words.t("invitations.sponsor"), v.words.t("invitations.anySponsor"), query.Get("sponsor"),
				[]option{{Value: "me", Text: v.words.t("invitations.mine")}}),
		},
		Table: table{ID: "invitations", Caption: v.words.t("invitations.title"), Hidden: true,
			Columns: v.columns("invitations.who:wide", "invitations.gives", "invitations.state", "invitations.sponsor:narrow", "invitations.mail")}}
	var next *store.InvitationID
	if len(found) > invitationsPerPage {
		found = found[:invitationsPerPage]
		next = &found[invitationsPerPage-1].ID
	}
	p.Pager = keyset(r, next)
	found = slices.DeleteFunc(found, func(one store.Invitation) bool { return !v.sees(one) })
	if p.Rows, err = s.invitationRows(ctx, v, found); err != nil {
		return err
	}
	switch {
	case len(p.Rows) > 0:
	case p.Filtered:
		p.Empty = empty{Text: v.words.t("invitations.noMatch"), Href: "/invitations", Link: v.words.t("people.clear")}
	default:
		p.Empty = empty{Text: v.words.t("invitations.none"), Href: p.New, Link: v.words.t("invitations.new")}
	}
	return s.render(w, http.StatusOK, "invitations", p)
}

// sees reports whether an invitation is the visitor's to see: whoever sees only the
// people of some sites sees only those that lead there.
func (v *visit) sees(one store.Invitation) bool {
	if !v.scoped(access.ConsolePeople, access.LevelView) {
		return true
	}
	areas, given := v.area(access.ConsolePeople, access.LevelView), v.granted(v.policy, v.now, nil)
	return slices.ContainsFunc(one.Grants, func(g access.Grant) bool { return given.inside(&g, areas) })
}

func (s *Server) invitationRows(ctx context.Context, v *visit, found []store.Invitation) ([]invitationRow, error) {
	var ids []store.InvitationID
	var people []access.UserID
	for _, one := range found {
		ids, people = append(ids, one.ID), append(people, access.UserID(one.Sponsor))
	}
	mails, err := s.store.MailsOf(ctx, v.tenant(), ids)
	if err != nil {
		return nil, err
	}
	names, err := s.store.Names(ctx, v.tenant(), people, nil)
	if err != nil {
		return nil, err
	}
	unkept, err := store.Unkept(v.policy, found)
	if err != nil {
		return nil, err
	}
	var rows []invitationRow
	for _, one := range found {
		state := one.State(v.now)
		row := invitationRow{
			Who: one.DisplayName, Email: one.Email, Href: "/invitations/" + string(one.ID), Kind: v.words.t("kind." + string(one.Kind)),
			Chips: v.chipsOf(v.policy, one.Grants), State: v.words.t("invitations.state." + state), Bad: state == store.InvitationLocked || state == store.InvitationExpired,
			Sponsor: names[string(one.Sponsor)],
		}
		if state == store.InvitationOpen {
			row.Until = v.instant(one.ExpiresAt)
			if slices.ContainsFunc(unkept, func(o store.Invitation) bool { return o.ID == one.ID }) {
				row.State, row.Bad = v.words.t("invitations.unkept"), true
			}
		}
		if m, ok := mails[one.ID]; ok && state != store.InvitationAccepted {
			row.Mail = v.mailState(m)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// mailState puts into words what became of a mail.
func (v *visit) mailState(m store.Mail) mailState {
	switch {
	case !m.EndedAt.IsZero() && m.Error == "":
		return mailState{Text: v.words.t("invitations.mail.sent"), At: v.instant(m.EndedAt)}
	case !m.EndedAt.IsZero():
		return mailState{Text: v.words.t("invitations.mail.failed"), At: v.instant(m.EndedAt), Bad: true, Error: m.Error}
	case m.Error != "":
		return mailState{Text: v.words.t("invitations.mail.again"), At: v.instant(m.DueAt), Bad: true, Error: m.Error}
	}
	return mailState{Text: v.words.t("invitations.mail.waits"), At: v.instant(m.CreatedAt)}
}

// invitationPage is one invitation, and what can be done with it.
type invitationPage struct {
	page
	invitationRow
	ID                 store.InvitationID
	InvitedBy          string
	Created, AccessEnd when
	// Why is why it was withdrawn.
	Why string
	// Person is the address of whoever accepted it.
	Person string
	// Pending says that nobody has accepted it or taken it back; May that the visitor
	// may do something about it.
	Pending, May, Accepted bool
	Resend                 resendForm
}

// resendForm sends an invitation again, perhaps to another address.
type resendForm struct {
	Email, Days, Lang field
	// Mails says that mails are sent; otherwise there is a link to copy.
	Mails bool
}

// visible is the invitation of the request's address.
func (s *Server) visible(r *http.Request, v *visit) (store.Invitation, error) {
	one, err := s.store.Invitation(r.Context(), v.tenant(), store.InvitationID(r.PathValue("id")))
	if err == nil && !v.sees(one) {
		err = store.ErrNotFound
	}
	return one, err
}

func (s *Server) invitation(w http.ResponseWriter, r *http.Request, v *visit) error {
	one, err := s.visible(r, v)
	if err != nil {
		return err
	}
	return s.showInvitation(w, r, v, one, http.StatusOK, resendForm{})
}

func (s *Server) showInvitation(w http.ResponseWriter, r *http.Request, v *visit, one store.Invitation, status int, form resendForm) error {
	ctx := r.Context()
	rows, err := s.invitationRows(ctx, v, []store.Invitation{one})
	if err != nil {
		return err
	}
	names, err := s.store.Names(ctx, v.tenant(), []access.UserID{access.UserID(one.InvitedBy)}, nil)
	if err != nil {
		return err
	}
	state := one.State(v.now)
	p := &invitationPage{page: v.page("invitations.one", "name", one.DisplayName), invitationRow: rows[0], ID: one.ID, InvitedBy: names[string(one.InvitedBy)],
		Created: v.instant(one.CreatedAt), Why: one.WithdrawnWhy, May: v.mayAt(access.ConsolePeople, access.LevelChange, nil),
		Pending: state != store.InvitationAccepted && state != store.InvitationWithdrawn, Accepted: state == store.InvitationAccepted}
	if !one.AccountEnds.IsZero() {
		p.AccessEnd = v.instant(one.AccountEnds)
	}
	if one.UserID != "" {
		p.Person = v.link("/people/" + string(one.UserID))
	}
	p.Resend = s.resendForm(v, cmp.Or(form.Email.Value, one.Email))
	p.Resend.Email.Error = form.Email.Error
	return s.render(w, status, "invitation", p)
}

func (s *Server) resendForm(v *visit, email string) resendForm {
	return resendForm{
		Email: field{Name: "email", Type: "email", Label: v.words.t("invitations.email"), Value: email},
		Days:  v.openDays(""), Lang: v.mailLanguage(""), Mails: s.mail != nil,
	}
}

// openDays asks for how long an invitation can be accepted.
func (v *visit) openDays(value string) field {
	var options []option
	for _, days := range []int{30, 90} {
		options = append(options, option{Value: strconv.Itoa(days), Text: v.words.n("invitations.days", days)})
	}
	return choose("open", v.words.t("invitations.open"), v.words.n("invitations.days", 7), value, options)
}

// mailLanguage asks for the language of the mail, by default the visitor's.
func (v *visit) mailLanguage(value string) field {
	var options []option
	for _, lang := range languages {
		if lang != v.words.lang {
			options = append(options, option{Value: lang, Text: v.words.t("invitations.lang." + lang)})
		}
	}
	return choose("lang", v.words.t("invitations.lang"), v.words.t("invitations.lang."+v.words.lang), value, options)
}

// openUntil reads openDays.
func (v *visit) openUntil(text string) (store.Instant, bool) {
	days, ok := map[string]int{"": 7, "7": 7, "30": 30, "90": 90}[text]
	return store.At(v.now.AddDate(0, 0, days)), ok
}

// resendInvitation gives an invitation a new link or code; the old one opens nothing
// any more.
func (s *Server) resendInvitation(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	one, err := s.visible(r, v)
	if err != nil {
		return err
	}
	until, ok := v.openUntil(r.PostFormValue("open"))
	form := cmp.Or(r.PostFormValue("form"), store.InvitationLink)
	email := one.Email
	if form == store.InvitationLink {
		email = strings.TrimSpace(r.PostFormValue("email"))
	}
	if !ok || !slices.Contains(append(languages, ""), r.PostFormValue("lang")) {
		return badRequest{"problem.invalid"}
	}
	var secret string
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) (err error) {
		one, secret, err = tx.ResendInvitation(ctx, one.ID, func(change *store.Invitation) {
			change.Email, change.Form, change.ExpiresAt = email, form, until
		})
		if err != nil {
			return err
		}
		return s.queueInvitation(r, tx, v, one, secret, r.PostFormValue("lang"))
	})
	if unkept, _ := store.Unkept(v.policy, []store.Invitation{one}); errors.Is(err, store.ErrInvalid) && len(unkept) > 0 {
		return telling{http.StatusConflict, "invitations.gone"}
	}
	if key := emailProblem(err); key != "" && form == store.InvitationLink {
		f := resendForm{Email: field{Value: email, Error: v.words.t(key)}}
		return s.showInvitation(w, r, v, one, http.StatusBadRequest, f)
	}
	if err != nil {
		return err
	}
	return s.handOver(w, r, v, one, secret)
}

// emailProblem is the key of what is wrong with an address, if that is what an error
// says.
func emailProblem(err error) string {
	switch {
	case errors.Is(err, store.ErrTaken):
		return "invitations.emailTaken"
	case errors.Is(err, store.ErrInvalid):
		return "invitations.emailWrong"
	}
	return ""
}

func (s *Server) withdrawInvitation(w http.ResponseWriter, r *http.Request, v *visit) error {
	one, err := s.visible(r, v)
	if err != nil {
		return err
	}
	err = s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error {
		return tx.WithdrawInvitation(r.Context(), one.ID, strings.TrimSpace(r.PostFormValue("why")))
	})
	if err != nil {
		return err
	}
	return s.say(w, r, "/invitations/"+string(one.ID), "", "invitations.withdrawn", "name", one.DisplayName)
}

// inviteAgain gives whoever accepted an invitation a new way to sign in: when her
// device is lost, for example. It gives no access that she doesn't have.
func (s *Server) inviteAgain(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	before, err := s.visible(r, v)
	if err != nil {
		return err
	}
	if before.UserID == "" {
		return errStale
	}
	form := store.InvitationLink
	if before.Email == "" || r.PostFormValue("form") == store.InvitationCode {
		form = store.InvitationCode
	}
	var one store.Invitation
	var secret string
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) (err error) {
		// Who asks for it answers for it: the sponsor of then may have left.
		one, secret, err = tx.CreateInvitation(ctx, store.Invitation{Kind: before.Kind, DisplayName: before.DisplayName, Email: before.Email,
			UserID: before.UserID, Sponsor: v.session.UserID, Form: form})
		if err != nil {
			return err
		}
		return s.queueInvitation(r, tx, v, one, secret, "")
	})
	if errors.Is(err, store.ErrNotFound) {
		return telling{http.StatusConflict, "invitations.notLive"}
	}
	if err != nil {
		return err
	}
	return s.handOver(w, r, v, one, secret)
}

// handOver answers a form that made a secret: it is on its way by mail, or is shown
// once.
func (s *Server) handOver(w http.ResponseWriter, r *http.Request, v *visit, one store.Invitation, secret string) error {
	to := "/invitations/" + string(one.ID)
	if one.Form == store.InvitationLink && s.mail != nil {
		s.mail.Wake()
		return s.say(w, r, to, "", "invitations.sent", "email", one.Email)
	}
	return s.tell(w, r, to+"/secret", v.holder(), once{Invitation: secret})
}

// secretPage shows a link to copy, or a code to print, once.
type secretPage struct {
	page
	ID      store.InvitationID
	Who     string
	Link    string
	Code    string
	Where   string // the address at which a code is typed
	QR      *picture
	Until   when
	Hello   string
	Gone    bool
	Chips   []chip
	Inviter string
}

// picture is a QR code as the path of an image in SVG.
type picture struct {
	Size int
	Path string
}

// draw makes a QR code of a text.
func draw(text string) (*picture, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, err
	}
	const margin = 4 // light modules around it (ISO/IEC 18004 §9.1)
	var b strings.Builder
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				b.WriteString("M" + strconv.Itoa(x+margin) + " " + strconv.Itoa(y+margin) + "h1v1h-1z")
			}
		}
	}
	return &picture{Size: code.Size + 2*margin, Path: b.String()}, nil
}

func (s *Server) invitationSecret(w http.ResponseWriter, r *http.Request, v *visit) error {
	one, err := s.visible(r, v)
	if err != nil {
		return err
	}
	secret := s.told(w, r, v.holder()).Invitation
	p := &secretPage{page: v.page("invitations.secret", "name", one.DisplayName), ID: one.ID, Who: one.DisplayName, Until: v.instant(one.ExpiresAt),
		Hello: v.words.t("accept.hello", "name", one.DisplayName), Gone: secret == "", Inviter: name(v.person), Chips: v.chipsOf(v.policy, one.Grants)}
	if secret == "" {
		return s.render(w, http.StatusOK, "secret", p)
	}
	if one.Form == store.InvitationLink {
		p.Link = s.base(r) + "/i/" + secret
		return s.render(w, http.StatusOK, "secret", p)
	}
	p.Code, p.Where = secret, s.base(r)+"/i"
	if p.QR, err = draw(p.Where + "?" + url.Values{"code": {secret}}.Encode()); err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "secret", p)
}
