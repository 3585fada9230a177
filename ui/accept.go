package ui

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// Whoever is invited opens a link from a mail, or types a code from paper. Looking
// uses nothing up: mail scanners and previews open links, too.

func (s *Server) acceptRoutes() []route {
	return []route{
		{"GET", "/i", anybody, s.invitedByCode},
		{"POST", "/i", anybody, s.acceptInvitation},
		{"GET", "/i/{token}", anybody, s.invitedByLink},
	}
}

const (
	// guessBurst and guessPause bound the wrong codes of one address; those of one
	// invitation are bounded by store.MaxCodeAttempts.
	guessBurst = 20
	guessPause = 6 * time.Second
)

// acceptPage tells somebody what she is invited to.
type acceptPage struct {
	page
	Secret    string
	Hello     string
	InvitedBy string
	Kind      string
	Access    []chip
	// Until is when the account ends; zero for never. OpenUntil is when the invitation
	// does.
	Until, OpenUntil when
	// Again says that it is only a new way to sign in.
	Again bool
}

// codePage asks for a printed code.
type codePage struct {
	page
	Code field
}

// invitedByLink shows what a link is about.
func (s *Server) invitedByLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	if secret := r.PathValue("token"); strings.HasPrefix(secret, store.InvitationPrefix) {
		return s.invited(w, r, v, secret)
	}
	return telling{http.StatusNotFound, "accept.unknown"}
}

// invitedByCode asks for a code, or shows what one is about. A code is in the query,
// which no log has.
func (s *Server) invitedByCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	code := strings.TrimSpace(r.URL.Query().Get("code"))
	if code == "" {
		return s.askForCode(w, v, http.StatusOK, "", "")
	}
	return s.invited(w, r, v, code)
}

func (s *Server) askForCode(w http.ResponseWriter, v *visit, status int, code, problem string) error {
	return s.render(w, status, "code", &codePage{page: v.page("accept.codeTitle"),
		Code: field{Name: "code", Label: v.words.t("accept.code"), Hint: v.words.t("accept.codeHint"), Value: code, Error: problem}})
}

// openInvitation finds an invitation that can be accepted, or says why it can't.
func (s *Server) openInvitation(w http.ResponseWriter, r *http.Request, v *visit, secret string) (store.Invitation, error) {
	address, guess := clientAddress(r), !strings.HasPrefix(secret, store.InvitationPrefix)
	if guess && !s.guesses.left(address) {
		w.Header().Set("Retry-After", "60")
		return store.Invitation{}, telling{http.StatusTooManyRequests, "accept.often"}
	}
	invitation, err := s.store.InvitationBySecret(r.Context(), secret)
	if errors.Is(err, store.ErrNotFound) {
		if guess {
			s.guesses.spend(address)
		}
		return invitation, telling{http.StatusNotFound, "accept.unknown"}
	}
	if err != nil {
		return invitation, err
	}
	if state := invitation.State(v.now); state != store.InvitationOpen {
		return invitation, s.over(r.Context(), v, invitation, state)
	}
	policy, _, err := s.store.Policy(r.Context(), invitation.TenantID)
	if err != nil {
		return invitation, err
	}
	unkept, err := store.Unkept(policy, []store.Invitation{invitation})
	if err == nil && len(unkept) > 0 {
		err = s.over(r.Context(), v, invitation, "gone")
	}
	return invitation, err
}

// overPage says why an invitation opens nothing any more, and whom to ask.
type overPage struct {
	page
	Text, Ask string
	Accepted  bool
}

// overInvitation is the error of an invitation that is.
type overInvitation struct{ page *overPage }

func (overInvitation) Error() string { return "the invitation is over" }

func (s *Server) over(ctx context.Context, v *visit, invitation store.Invitation, state string) error {
	key := "accept.over." + state
	p := &overPage{page: v.page(key), Text: v.words.t("accept.overText." + state), Accepted: state == store.InvitationAccepted}
	who, err := s.askWhom(ctx, invitation)
	if err != nil {
		return err
	}
	if who != "" {
		p.Ask = v.words.t("accept.ask", "name", who)
	}
	return overInvitation{p}
}

// askWhom is the sponsor of an invitation, or whoever made it.
func (s *Server) askWhom(ctx context.Context, invitation store.Invitation) (string, error) {
	for _, id := range []store.UserID{invitation.Sponsor, invitation.InvitedBy} {
		names, err := s.store.Names(ctx, invitation.TenantID, []access.UserID{access.UserID(id)}, nil)
		if err != nil {
			return "", err
		}
		if name := names[string(id)]; name != "" {
			return name, nil
		}
	}
	return "", nil
}

// tellOver renders the page of an invitation that is over, and gives any other error
// back.
func (s *Server) tellOver(w http.ResponseWriter, err error) error {
	var over overInvitation
	if errors.As(err, &over) {
		return s.render(w, http.StatusGone, "over", over.page)
	}
	return err
}

func (s *Server) invited(w http.ResponseWriter, r *http.Request, v *visit, secret string) error {
	ctx := r.Context()
	invitation, err := s.openInvitation(w, r, v, secret)
	if told := (telling{}); errors.As(err, &told) && told.text == "accept.unknown" && !strings.HasPrefix(secret, store.InvitationPrefix) {
		return s.askForCode(w, v, told.status, secret, v.words.t("accept.wrongCode"))
	}
	if err != nil {
		return s.tellOver(w, err)
	}
	by, err := s.askWhom(ctx, invitation)
	if err != nil {
		return err
	}
	policy, _, err := s.store.Policy(ctx, invitation.TenantID)
	if err != nil {
		return err
	}
	p := &acceptPage{page: v.page("accept.title"), Secret: secret, Hello: v.words.t("accept.hello", "name", invitation.DisplayName), Again: invitation.UserID != "",
		InvitedBy: by, Kind: v.words.t("kind." + string(invitation.Kind)), OpenUntil: v.instant(invitation.ExpiresAt)}
	if !invitation.AccountEnds.IsZero() {
		p.Until = v.instant(invitation.AccountEnds)
	}
	p.Access = v.chipsOf(policy, invitation.Grants)
	return s.render(w, http.StatusOK, "accept", p)
}

// chipsOf are grants that nobody has yet, in full.
func (v *visit) chipsOf(policy *access.Policy, grants []access.Grant) []chip {
	given := v.granted(policy, v.now, nil)
	var all []chip
	for i := range grants {
		c := given.chip(&grants[i])
		c.Text = c.Title
		all = append(all, c)
	}
	return all
}

// acceptInvitation takes somebody in, once.
func (s *Server) acceptInvitation(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, secret := r.Context(), strings.TrimSpace(r.PostFormValue("code"))
	if secret == "" {
		return s.askForCode(w, v, http.StatusBadRequest, "", v.words.t("accept.noCode"))
	}
	invitation, err := s.openInvitation(w, r, v, secret)
	if err != nil {
		return s.tellOver(w, err)
	}
	actor := store.Actor{Tenant: invitation.TenantID, Kind: store.ActorInvitation, ID: string(invitation.ID), RequestID: v.id}
	session := store.Session{Method: store.MethodInvitation}
	err = s.admitTo(w, r, actor, &session, func(tx *store.Tx) error {
		accepted, err := tx.AcceptInvitation(ctx, secret)
		session.UserID = accepted.UserID
		return err
	})
	switch {
	case errors.Is(err, store.ErrTaken):
		return telling{http.StatusConflict, "accept.taken"}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrInvalid):
		// Another click was faster, or it ended in between, or what it gives did: say what
		// is so now.
		if _, err := s.openInvitation(w, r, v, secret); err != nil {
			return s.tellOver(w, err)
		}
		return telling{http.StatusConflict, "accept.gone"}
	case err != nil:
		return err
	}
	return s.redirect(w, r, "/me/passkeys?welcome=1")
}
