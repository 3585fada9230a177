package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// InvitationPrefix begins the secret of every invitation's link.
const InvitationPrefix = "ghi_"

// The limits of invitations.
const (
	// MaxInvitation is how long one can be open.
	MaxInvitation = 90 * 24 * time.Hour
	// MaxCodeAttempts is how many wrong codes end one that was printed.
	MaxCodeAttempts = 10
	// MaxOpenInvitations is how many of a tenant can be open.
	MaxOpenInvitations = 10_000
	// KeepInvitations is how long one can be looked at once it is over, and what became
	// of its mails.
	KeepInvitations = 90 * 24 * time.Hour
)

// InvitationID names an invitation; it opens nothing.
type InvitationID string

// The forms of an invitation.
const (
	InvitationLink = "link" // sent by mail
	InvitationCode = "code" // printed, for whoever has no e-mail
)

// The states of an invitation.
const (
	InvitationOpen      = "open"
	InvitationExpired   = "expired"
	InvitationLocked    = "locked" // after MaxCodeAttempts
	InvitationAccepted  = "accepted"
	InvitationWithdrawn = "withdrawn"
)

// The actions on invitations.
const (
	InvitationWasCreated   = "invitation.created"
	InvitationWasSentAgain = "invitation.resent"
	InvitationWasAccepted  = "invitation.accepted"
	InvitationWasWithdrawn = "invitation.withdrawn"
	InvitationWasLocked    = "invitation.locked"
)

// Invitation asks in somebody whom no identity provider knows, or gives somebody
// who is here already a new way to sign in.
type Invitation struct {
	TenantID    TenantID     `json:"tenant_id"`
	ID          InvitationID `json:"id"`
	Kind        access.Kind  `json:"kind"`
	DisplayName string       `json:"display_name"`
	// Email is empty for whoever has none.
	Email string `json:"email,omitempty"`
	// UserID is whom it is for, if she is here already, or who accepted it.
	UserID UserID `json:"user_id,omitempty"`
	// Sponsor answers for the person, and InvitedBy made the invitation; it is
	// withdrawn when either is taken away.
	Sponsor   UserID `json:"sponsor,omitempty"`
	InvitedBy UserID `json:"invited_by,omitempty"`
	// Grants are what the person gets; whom they are for, and their origin, are set
	// then.
	Grants []access.Grant `json:"grants"`
	// AccountEnds is when the person's account will expire; zero for never.
	AccountEnds Instant `json:"account_ends"`
	// Form is InvitationLink or InvitationCode.
	Form     string  `json:"form"`
	Attempts int     `json:"attempts"`
	SentAt   Instant `json:"sent_at"`
	// ExpiresAt is until when it can be accepted.
	CreatedAt    Instant `json:"created_at"`
	ExpiresAt    Instant `json:"expires_at"`
	AcceptedAt   Instant `json:"accepted_at"`
	WithdrawnAt  Instant `json:"withdrawn_at"`
	WithdrawnWhy string  `json:"withdrawn_why,omitempty"`
}

// State says what became of the invitation until then.
func (v Invitation) State(now time.Time) string {
	switch {
	case !v.AcceptedAt.IsZero():
		return InvitationAccepted
	case !v.WithdrawnAt.IsZero():
		return InvitationWithdrawn
	case v.Attempts >= MaxCodeAttempts:
		return InvitationLocked
	case !now.Before(v.ExpiresAt.Time):
		return InvitationExpired
	}
	return InvitationOpen
}

func (v Invitation) subject() subject {
	return subject{kind: "invitation", id: string(v.ID), name: v.DisplayName}
}

const invitationColumns = `tenant_id, id, kind, display_name, email, user_id, sponsor_id, invited_by, grants, account_ends, form,
	attempts, created_at, sent_at, expires_at, accepted_at, withdrawn_at, withdrawn_why`

func (r reader) invitations(ctx context.Context, rest string, args ...any) ([]Invitation, error) {
	all := []Invitation{}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var v Invitation
		var user, sponsor, by sql.NullString
		var grants []byte
		err := rows.Scan(&v.TenantID, &v.ID, &v.Kind, &v.DisplayName, &v.Email, &user, &sponsor, &by, &grants, &v.AccountEnds, &v.Form,
			&v.Attempts, &v.CreatedAt, &v.SentAt, &v.ExpiresAt, &v.AcceptedAt, &v.WithdrawnAt, &v.WithdrawnWhy)
		if err != nil {
			return err
		}
		v.UserID, v.Sponsor, v.InvitedBy = UserID(user.String), UserID(sponsor.String), UserID(by.String)
		all = append(all, v)
		return json.Unmarshal(grants, &all[len(all)-1].Grants)
	}, `SELECT `+invitationColumns+` FROM invitations `+rest, args...)
	return all, err
}

func (r reader) invitation(ctx context.Context, rest string, args ...any) (Invitation, error) {
	found, err := r.invitations(ctx, rest, args...)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Invitation{}, fmt.Errorf("invitation: %w", err)
	}
	return found[0], nil
}

// Invitation gives an invitation of a tenant. ErrNotFound when there is none.
func (r reader) Invitation(ctx context.Context, tenant TenantID, id InvitationID) (Invitation, error) {
	if !validID(string(id)) {
		return Invitation{}, fmt.Errorf("invitation %q: %w", id, ErrNotFound)
	}
	return r.invitation(ctx, `WHERE tenant_id = ? AND id = ?`, tenant, id)
}

// InvitationQuery says which invitations to list.
type InvitationQuery struct {
	// State is one of the states; empty means all.
	State string
	// Sponsor is whose to list; empty means everybody's.
	Sponsor UserID
	// Before is the last of the page before; empty means the first page.
	Before InvitationID
	// Limit is the most to give; 0 means 100.
	Limit int
}

// Invitations gives a tenant's invitations, the newest first.
func (s *Store) Invitations(ctx context.Context, tenant TenantID, q InvitationQuery) ([]Invitation, error) {
	now := At(s.now())
	where, args := `WHERE tenant_id = ?`, []any{tenant}
	and := func(text string, a ...any) { where, args = where+` AND `+text, append(args, a...) }
	const pending = `accepted_at = 0 AND withdrawn_at = 0`
	switch q.State {
	case "":
	case InvitationAccepted:
		and(`accepted_at <> 0`)
	case InvitationWithdrawn:
		and(`withdrawn_at <> 0`)
	case InvitationLocked:
		and(pending+` AND attempts >= ?`, MaxCodeAttempts)
	case InvitationExpired:
		and(pending+` AND attempts < ? AND expires_at <= ?`, MaxCodeAttempts, now)
	case InvitationOpen:
		and(pending+` AND attempts < ? AND expires_at > ?`, MaxCodeAttempts, now)
	default:
		return nil, fmt.Errorf("state %q: %w", q.State, ErrInvalid)
	}
	if q.Sponsor != "" {
		if !validID(string(q.Sponsor)) {
			return []Invitation{}, nil
		}
		and(`sponsor_id = ?`, q.Sponsor)
	}
	if q.Before != "" {
		if !validID(string(q.Before)) {
			return nil, fmt.Errorf("invitation %q: %w", q.Before, ErrNotFound)
		}
		and(`id < `+s.pool.dialect.idParam, q.Before)
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	return s.invitations(ctx, where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
}

// InvitationBySecret gives the invitation of any tenant that a link or a printed
// code opens, also one that is over: State says. Looking doesn't use it up. A wrong
// code counts as an attempt at the invitation that its first half names. ErrNotFound
// when there is none.
func (s *Store) InvitationBySecret(ctx context.Context, secret string) (Invitation, error) {
	key, handle := invitationKey(secret)
	v, err := s.invitation(ctx, `WHERE hash = ?`, key)
	if !errors.Is(err, ErrNotFound) || handle == "" {
		return v, err
	}
	named, wrong := s.invitation(ctx, `WHERE handle = ?`, handle)
	if errors.Is(wrong, ErrNotFound) {
		return v, err
	}
	if wrong == nil {
		wrong = s.Write(ctx, Actor{Tenant: named.TenantID, Kind: ActorInvitation}, func(tx *Tx) error { return tx.wrongCode(ctx, handle) })
	}
	if wrong != nil {
		return v, wrong
	}
	return v, err
}

// wrongCode counts an attempt.
func (tx *Tx) wrongCode(ctx context.Context, handle string) error {
	v, err := tx.invitation(ctx, `WHERE tenant_id = ? AND handle = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant, handle)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil || v.State(tx.now.Time) != InvitationOpen {
		return err
	}
	if v.Attempts+1 == MaxCodeAttempts {
		tx.log(InvitationWasLocked, v.subject(), map[string]int{"attempts": MaxCodeAttempts})
	}
	_, err = tx.exec(ctx, `UPDATE invitations SET attempts = attempts + 1 WHERE tenant_id = ? AND id = ?`, v.TenantID, v.ID)
	return err
}

// A printed code is 20 characters that are not mistaken for each other: of 100
// random bits the first 40 name the invitation, so that wrong guesses of the other
// 60 are counted.
const (
	codeLength   = 20
	handleLength = 8
)

var codeAlphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// newCode makes a code as it is printed, in groups of four.
func newCode() string {
	var b [13]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	code := codeAlphabet.EncodeToString(b[:])[:codeLength]
	var groups []string
	for ; code != ""; code = code[4:] {
		groups = append(groups, code[:4])
	}
	return strings.Join(groups, "-")
}

// invitationKey is what an invitation is found by; handle is that of a code.
func invitationKey(secret string) (key []byte, handle string) {
	if strings.HasPrefix(secret, InvitationPrefix) || len(secret) > 100 {
		return hashSecret(secret), ""
	}
	// As people type it.
	code := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(secret)))
	if len(code) != codeLength || strings.Trim(code, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return hashSecret(secret), ""
	}
	return hashSecret("code " + code), code[:handleLength]
}

// CreateInvitation asks somebody in to the actor's tenant and gives the link's
// secret or the code, which can't be had again. A zero ExpiresAt means a week. One for
// a user who is here takes the place of those that she has yet to accept.
// ErrTaken when somebody outside has that e-mail address already, ErrInvalid when
// something isn't as it must be, ErrNotFound when the sponsor or the user isn't live.
func (tx *Tx) CreateInvitation(ctx context.Context, v Invitation) (Invitation, string, error) {
	v.TenantID, v.ID, v.CreatedAt = tx.actor.Tenant, InvitationID(newID()), tx.now
	v.Attempts, v.AcceptedAt, v.WithdrawnAt, v.WithdrawnWhy, v.InvitedBy = 0, Instant{}, Instant{}, "", ""
	if tx.actor.Kind == ActorPerson {
		v.InvitedBy = UserID(tx.actor.ID)
	}
	if err := tx.checkInvitation(ctx, &v); err != nil {
		return v, "", err
	}
	if v.UserID != "" {
		if err := tx.withdraw(ctx, "a newer one took its place", `user_id = ?`, v.UserID); err != nil {
			return v, "", err
		}
	}
	var open int
	err := tx.get(ctx, &open, `SELECT COUNT(*) FROM invitations WHERE tenant_id = ? AND accepted_at = 0 AND withdrawn_at = 0 AND expires_at > ?`, v.TenantID, tx.now)
	if err != nil {
		return v, "", err
	}
	if open >= MaxOpenInvitations {
		return v, "", fmt.Errorf("%d open invitations: %w", open, ErrLimit)
	}
	grants, err := asJSON(v.Grants)
	if err != nil {
		return v, "", err
	}
	v.SentAt = tx.now
	secret, key, handle := v.newSecret()
	_, err = tx.exec(ctx, `INSERT INTO invitations (`+invitationColumns+`, hash, handle) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.TenantID, v.ID, v.Kind, v.DisplayName, v.Email, optional(v.UserID), optional(v.Sponsor), optional(v.InvitedBy), grants, v.AccountEnds, v.Form,
		v.Attempts, v.CreatedAt, v.SentAt, v.ExpiresAt, v.AcceptedAt, v.WithdrawnAt, v.WithdrawnWhy, key, optional(handle))
	if err != nil {
		return v, "", fmt.Errorf("invitation of %q: %w", v.DisplayName, err)
	}
	tx.log(InvitationWasCreated, v.subject(), beforeAfter(nil, v))
	return v, secret, nil
}

func (v Invitation) newSecret() (secret string, key []byte, handle string) {
	secret = newSecret(InvitationPrefix)
	if v.Form == InvitationCode {
		secret = newCode()
	}
	key, handle = invitationKey(secret)
	return secret, key, handle
}

// checkInvitation looks at all that can be wrong with an invitation while somebody is
// there to put it right.
func (tx *Tx) checkInvitation(ctx context.Context, v *Invitation) error {
	if v.Form == "" {
		v.Form = InvitationLink
	}
	if v.ExpiresAt.IsZero() {
		v.ExpiresAt = At(tx.now.AddDate(0, 0, 7))
	}
	switch {
	case v.Kind != access.KindEmployee && v.Kind != access.KindClient && v.Kind != access.KindContractor && v.Kind != access.KindGuest:
		return fmt.Errorf("kind %q: %w: want employee, client, contractor or guest", v.Kind, ErrInvalid)
	case strings.TrimSpace(v.DisplayName) == "" || len(v.DisplayName) > 200:
		return fmt.Errorf("name %q: %w: want the person's name", cut(v.DisplayName, 50), ErrInvalid)
	case v.Form != InvitationLink && v.Form != InvitationCode:
		return fmt.Errorf("form %q: %w: want link or code", v.Form, ErrInvalid)
	case v.Form == InvitationLink && v.Email == "":
		return fmt.Errorf("invitation: %w: a link needs an e-mail address; print a code for whoever has none", ErrInvalid)
	case v.Email != "" && (len(v.Email) > 254 || strings.Count(v.Email, "@") != 1 || strings.ContainsAny(v.Email, " \t\r\n<>,;\"") ||
		strings.HasPrefix(v.Email, "@") || strings.HasSuffix(v.Email, "@")):
		return fmt.Errorf("e-mail address %q: %w", cut(v.Email, 100), ErrInvalid)
	case !tx.now.Before(v.ExpiresAt.Time) || v.ExpiresAt.Sub(tx.now.Time) > MaxInvitation:
		return fmt.Errorf("open until %s: %w: want a time within 90 days", v.ExpiresAt, ErrInvalid)
	case !v.AccountEnds.IsZero() && !tx.now.Before(v.AccountEnds.Time):
		return fmt.Errorf("account until %s: %w: that is over", v.AccountEnds, ErrInvalid)
	}
	if err := names(map[string]string{"name": v.DisplayName, "e-mail address": v.Email}); err != nil {
		return err
	}
	if v.Sponsor != "" {
		if _, err := tx.lockLive(ctx, v.Sponsor); err != nil {
			return fmt.Errorf("sponsor: %w", err)
		}
	}
	if err := tx.checkInvited(ctx, *v); err != nil {
		return err
	}
	return tx.checkGiven(ctx, v)
}

// checkInvited finds the person here who is invited, or sees that nobody stands in
// the way of the one who is to come.
func (tx *Tx) checkInvited(ctx context.Context, v Invitation) error {
	c, err := tx.LocalConnection(ctx)
	if err != nil {
		return err
	}
	if v.UserID == "" {
		return tx.freeName(ctx, c.Ref(), v.Email)
	}
	if _, err := tx.lockLive(ctx, v.UserID); err != nil {
		return err
	}
	if _, err := tx.User(ctx, c.Ref(), v.UserID, false); err != nil {
		return fmt.Errorf("%w: she signs in with her identity provider", err)
	}
	return nil
}

// Unkept are those of some invitations that promise what isn't there any more by a
// policy: a product, a role, a permission or a kind of site that went, or nothing but
// sites that are archived. Nobody can accept them.
func Unkept(policy *access.Policy, some []Invitation) ([]Invitation, error) {
	var tried []access.Grant
	of := map[access.GrantID]InvitationID{}
	for _, v := range some {
		for _, g := range v.Grants {
			g.ID, g.Subject = access.GrantID(newID()), access.Grantee{User: access.UserID(v.ID)}
			tried, of[g.ID] = append(tried, g), v.ID
		}
	}
	if len(tried) == 0 {
		return nil, nil
	}
	with, err := policy.With(tried...)
	if err != nil {
		return nil, err
	}
	broken := map[InvitationID]bool{}
	for _, p := range with.Problems() {
		broken[of[p.Grant]] = true
	}
	for _, g := range tried {
		for _, selection := range g.Scope.Sites {
			if !selection.All && !slices.ContainsFunc(selection.Sites, func(id access.SiteID) bool { return isOpen(policy, id) }) {
				broken[of[g.ID]] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(some), func(v Invitation) bool { return !broken[v.ID] }), nil
}

// isOpen reports whether a site is there, and neither it nor one above it is archived.
func isOpen(policy *access.Policy, id access.SiteID) bool {
	for id != "" {
		site, ok := policy.Site(id)
		if !ok || site.Archived {
			return false
		}
		id = site.Parent
	}
	return true
}

// OpenInvitations are all of a tenant that can be accepted now, so far as time and
// wrong codes go.
func (r reader) OpenInvitations(ctx context.Context, tenant TenantID, now time.Time) ([]Invitation, error) {
	return r.invitations(ctx, `WHERE tenant_id = ? AND accepted_at = 0 AND withdrawn_at = 0 AND attempts < ? AND expires_at > ? ORDER BY id`, tenant, MaxCodeAttempts, At(now))
}

// checkGiven tries the grants on somebody.
func (tx *Tx) checkGiven(ctx context.Context, v *Invitation) error {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return err
	}
	tried := make([]access.Grant, len(v.Grants))
	for i, g := range v.Grants {
		g.ID, g.Subject, g.Origin = "", access.Grantee{}, access.OriginInvitation
		v.Grants[i] = g
		g.ID, g.Subject = access.GrantID(newID()), access.Grantee{User: access.UserID(newID())}
		if tried[i], _, err = tx.grantRow(g); err != nil {
			return err
		}
	}
	if _, err = edit.withGrants(tried); err != nil {
		return err
	}
	unkept, err := Unkept(edit.policy, []Invitation{*v})
	if err == nil && len(unkept) > 0 {
		err = fmt.Errorf("invitation: %w: it gives nothing but archived sites", ErrInvalid)
	}
	return err
}

// lockInvitation finds and locks an invitation of the actor's tenant.
func (tx *Tx) lockInvitation(ctx context.Context, id InvitationID) (Invitation, error) {
	if !validID(string(id)) {
		return Invitation{}, fmt.Errorf("invitation %q: %w", id, ErrNotFound)
	}
	return tx.invitation(ctx, `WHERE tenant_id = ? AND id = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant, id)
}

// ResendInvitation gives an invitation a new secret; the one before opens nothing
// any more. change may set Email, Form, Sponsor and ExpiresAt, a week from now unless
// it does. ErrInUse when it was accepted or withdrawn.
func (tx *Tx) ResendInvitation(ctx context.Context, id InvitationID, change func(*Invitation)) (Invitation, string, error) {
	before, err := tx.lockInvitation(ctx, id)
	if err != nil {
		return before, "", err
	}
	if state := before.State(tx.now.Time); state == InvitationAccepted || state == InvitationWithdrawn {
		return before, "", fmt.Errorf("invitation %s: %w: it is %s", id, ErrInUse, state)
	}
	wish, v := before, before
	wish.ExpiresAt = Instant{}
	if change != nil {
		change(&wish)
	}
	v.Email, v.Form, v.Sponsor, v.ExpiresAt, v.Attempts, v.SentAt = wish.Email, wish.Form, wish.Sponsor, wish.ExpiresAt, 0, tx.now
	if err := tx.checkInvitation(ctx, &v); err != nil {
		return before, "", err
	}
	secret, key, handle := v.newSecret()
	_, err = tx.exec(ctx, `UPDATE invitations SET email = ?, form = ?, sponsor_id = ?, expires_at = ?, attempts = 0, sent_at = ?, hash = ?, handle = ?
		WHERE tenant_id = ? AND id = ?`, v.Email, v.Form, optional(v.Sponsor), v.ExpiresAt, v.SentAt, key, optional(handle), v.TenantID, v.ID)
	if err != nil {
		return before, "", err
	}
	tx.log(InvitationWasSentAgain, v.subject(), beforeAfter(before, v))
	return v, secret, nil
}

// WithdrawInvitation ends an invitation that nobody has accepted. ErrInUse when
// somebody has, or it was withdrawn before.
func (tx *Tx) WithdrawInvitation(ctx context.Context, id InvitationID, why string) error {
	v, err := tx.lockInvitation(ctx, id)
	if err != nil {
		return err
	}
	if state := v.State(tx.now.Time); state == InvitationAccepted || state == InvitationWithdrawn {
		return fmt.Errorf("invitation %s: %w: it is %s", id, ErrInUse, state)
	}
	return tx.withdraw(ctx, cut(why, 500), `id = ?`, id)
}

// withdraw ends all invitations of the actor's tenant that nobody has accepted and
// that a condition names.
func (tx *Tx) withdraw(ctx context.Context, why, where string, args ...any) error {
	var ended []struct {
		ID   InvitationID `db:"id"`
		Name string       `db:"display_name"`
	}
	err := tx.take(ctx, &ended, `UPDATE invitations SET withdrawn_at = ?, withdrawn_why = ? WHERE tenant_id = ? AND accepted_at = 0 AND withdrawn_at = 0
		AND `+where+` RETURNING id, display_name`, append([]any{tx.now, why, tx.actor.Tenant}, args...)...)
	for _, v := range ended {
		tx.log(InvitationWasWithdrawn, Invitation{ID: v.ID, DisplayName: v.Name}.subject(), map[string]string{"why": why})
	}
	return err
}

// AcceptInvitation makes whoever shows the secret the person of the actor's tenant
// whom it invites, with what it gives, and gives her id. It is done once, also when
// two try at the same time. ErrNotFound when it opens nothing, or not any more, or
// its sponsor isn't live; ErrTaken when somebody else has the e-mail address by now;
// ErrInvalid when what it gives isn't there any more.
func (tx *Tx) AcceptInvitation(ctx context.Context, secret string) (Invitation, error) {
	key, handle := invitationKey(secret)
	v, err := tx.invitation(ctx, `WHERE tenant_id = ? AND hash = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant, key)
	if errors.Is(err, ErrNotFound) && handle != "" {
		tx.amends = append(tx.amends, amends{ErrNotFound, func(ctx context.Context, tx *Tx) error { return tx.wrongCode(ctx, handle) }})
	}
	if err != nil {
		return v, err
	}
	if state := v.State(tx.now.Time); state != InvitationOpen {
		return v, fmt.Errorf("invitation %s: %w: it is %s", v.ID, ErrNotFound, state)
	}
	if v.Sponsor != "" {
		if _, err := tx.lockLive(ctx, v.Sponsor); err != nil {
			return v, fmt.Errorf("sponsor: %w", err)
		}
	}
	if v.UserID != "" {
		if _, err := tx.lockLive(ctx, v.UserID); err != nil {
			return v, err
		}
	} else if err := tx.admit(ctx, &v); err != nil {
		return v, err
	}
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return v, err
	}
	switch unkept, err := Unkept(edit.policy, []Invitation{v}); {
	case err != nil:
		return v, err
	case len(unkept) > 0:
		return v, fmt.Errorf("invitation %s: %w: what it gives isn't there any more", v.ID, ErrInvalid)
	}
	grants := make([]access.Grant, len(v.Grants))
	for i, g := range v.Grants {
		g.Subject = access.Grantee{User: access.UserID(v.UserID)}
		grants[i] = g
	}
	if len(grants) > 0 {
		if _, err := tx.AddGrants(ctx, grants...); err != nil {
			return v, err
		}
	}
	v.AcceptedAt = tx.now
	_, err = tx.exec(ctx, `UPDATE invitations SET accepted_at = ?, user_id = ? WHERE tenant_id = ? AND id = ?`, v.AcceptedAt, v.UserID, v.TenantID, v.ID)
	if err != nil {
		return v, err
	}
	tx.log(InvitationWasAccepted, v.subject(), map[string]string{"user": string(v.UserID)})
	return v, nil
}

// admit makes the user who was invited.
func (tx *Tx) admit(ctx context.Context, v *Invitation) error {
	u, _, err := tx.createLocal(ctx, v.DisplayName, v.Email, string(v.Kind)+"-"+string(v.ID))
	if err != nil {
		return err
	}
	v.UserID = u.ID
	_, err = tx.ChangePerson(ctx, u.ID, func(p Person) Person {
		p.Kind, p.ExpiresAt, p.Sponsor = v.Kind, v.AccountEnds.Time, v.Sponsor
		return p
	})
	return err
}

// SweepInvitations deletes invitations, of all tenants, that have been over for
// KeepInvitations, and mails that ended that long ago: at most limit of each, and gives
// their number. Whoever accepted one keeps it as long as she is here, since her next
// way to sign in is made from it. The log keeps what became of them all, so that it
// leaves no row there.
func (tx *Tx) SweepInvitations(ctx context.Context, limit int) (int, error) {
	before := At(tx.now.Add(-KeepInvitations))
	n, err := tx.exec(ctx, `DELETE FROM mails WHERE (tenant_id, id) IN (
		SELECT tenant_id, id FROM mails WHERE ended_at <> 0 AND ended_at <= ? ORDER BY ended_at LIMIT ?)`, before, limit)
	if err != nil {
		return 0, err
	}
	var over []struct {
		TenantID TenantID `db:"tenant_id"`
		ID       string   `db:"id"`
	}
	// Locked, so that nobody sends one again meanwhile.
	err = tx.take(ctx, &over, `SELECT i.tenant_id, i.id FROM invitations i WHERE CASE
			WHEN i.accepted_at <> 0 THEN i.accepted_at <= ? AND NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = i.tenant_id AND u.id = i.user_id)
			WHEN i.withdrawn_at <> 0 THEN i.withdrawn_at <= ?
			ELSE i.expires_at <= ? END
		ORDER BY i.tenant_id, i.id LIMIT ?`+tx.pool.dialect.forDelete, before, before, before, limit)
	if err != nil {
		return n, err
	}
	ids := map[TenantID][]string{}
	for _, v := range over {
		ids[v.TenantID] = append(ids[v.TenantID], v.ID)
	}
	d := tx.pool.dialect
	for _, tenant := range slices.Sorted(maps.Keys(ids)) {
		if _, err := tx.exec(ctx, `DELETE FROM mails WHERE tenant_id = ? AND invitation_id IN (`+d.ids+`)`, tenant, d.idList(ids[tenant])); err != nil {
			return n, err
		}
		if _, err := tx.exec(ctx, `DELETE FROM invitations WHERE tenant_id = ? AND id IN (`+d.ids+`)`, tenant, d.idList(ids[tenant])); err != nil {
			return n, err
		}
	}
	return n + len(over), nil
}
