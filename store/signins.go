package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxSignIns is how many sign-ins of a tenant can have begun at a time. One more
// drops the oldest, so that a flood of them fills nothing.
const MaxSignIns = 5000

// SignIn is a sign-in at a provider that has begun.
type SignIn struct {
	TenantID   TenantID     `db:"tenant_id"`
	Connection ConnectionID `db:"connection_id"`
	// State is the hash of what the provider sends back, and Browser of what only the
	// browser knows that began it.
	State   []byte `db:"state"`
	Browser []byte `db:"browser"`
	// Sealed is what finishes the sign-in; the caller seals it.
	Sealed   string `db:"sealed"`
	ReturnTo string `db:"return_to"`
	// BegunAt is set by BeginSignIn; a session is created with it.
	BegunAt   Instant `db:"begun_at"`
	ExpiresAt Instant `db:"expires_at"`
}

const signInColumns = `tenant_id, connection_id, state, browser, sealed, return_to, begun_at, expires_at`

// BeginSignIn keeps a sign-in of the actor's tenant until its browser comes back.
// ErrNotFound when nobody may sign in with the connection.
func (tx *Tx) BeginSignIn(ctx context.Context, v SignIn) (SignIn, error) {
	v.TenantID = tx.actor.Tenant
	p, err := tx.Provider(ctx, ConnectionRef{Tenant: v.TenantID, ID: v.Connection})
	if err != nil {
		return v, err
	}
	switch {
	case !p.Enabled:
		return v, fmt.Errorf("provider of connection %s: %w: not enabled", v.Connection, ErrNotFound)
	case len(v.State) < 32 || len(v.Browser) < 32:
		return v, fmt.Errorf("sign-in: %w: state and browser are hashes of 32 bytes", ErrInvalid)
	case !isText(v.Sealed) || !isText(v.ReturnTo):
		return v, fmt.Errorf("sign-in: %w: no text", ErrInvalid)
	}
	if end := At(tx.now.Add(MaxSignIn)); v.ExpiresAt.IsZero() || end.Before(v.ExpiresAt.Time) {
		v.ExpiresAt = end
	}
	if err := tx.dropOldest(ctx, v.TenantID, "signins", "state", MaxSignIns); err != nil {
		return v, err
	}
	var begun []Instant
	err = tx.take(ctx, &begun, `INSERT INTO signins (`+signInColumns+`) VALUES (?, ?, ?, ?, ?, ?, `+tx.pool.dialect.clock+`, ?) RETURNING begun_at`,
		v.TenantID, v.Connection, v.State, v.Browser, v.Sealed, v.ReturnTo, tx.sharedNow(), v.ExpiresAt)
	if err != nil {
		return v, err
	}
	v.BegunAt = begun[0]
	return v, nil
}

// dropOldest makes room for one more of a tenant in a table of what has
// begun.
func (tx *Tx) dropOldest(ctx context.Context, tenant TenantID, table, key string, most int) error {
	_, err := tx.exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = ? AND `+key+` IN (SELECT `+key+` FROM `+table+`
		WHERE tenant_id = ? ORDER BY begun_at DESC, `+key+` DESC LIMIT 1000 OFFSET ?)`, tenant, tenant, most-1)
	return err
}

// TakeSignIn gives a sign-in, of any tenant, to the browser that began it, once and
// to nobody else. ErrNotFound when there is none of that state and browser, or not
// any more; another browser's try takes nothing away.
func (tx *Tx) TakeSignIn(ctx context.Context, state, browser []byte) (SignIn, error) {
	var found []SignIn
	err := tx.take(ctx, &found, `DELETE FROM signins WHERE state = ? AND browser = ? RETURNING `+signInColumns, state, browser)
	if err != nil {
		return SignIn{}, err
	}
	if len(found) == 0 || !bytes.Equal(found[0].State, state) || !tx.now.Before(found[0].ExpiresAt.Time) {
		return SignIn{}, fmt.Errorf("sign-in: %w", ErrNotFound)
	}
	return found[0], nil
}

// GoesOn is ErrNotFound if what a sign-in was begun with is another by now: who
// vouches for people, or how they are found. Until the end of the transaction nobody
// changes it.
func (tx *Tx) GoesOn(ctx context.Context, v SignIn) error {
	return tx.notCutOff(ctx, v.BegunAt, connectionCutoff(v.Connection))
}

// EndSignInsFrom ends all sign-ins into the actor's tenant that a browser has begun,
// also one that has come back from its provider and has no session yet.
func (tx *Tx) EndSignInsFrom(ctx context.Context, browser []byte) error {
	tx.cutOff(browserCutoff(browser))
	_, err := tx.exec(ctx, `DELETE FROM signins WHERE tenant_id = ? AND browser = ?`, tx.actor.Tenant, browser)
	return err
}

// endSignInsOf ends all sign-ins that have begun at a connection, also those that
// have come back from its provider and have no session yet. What begins at this
// instant begins after it.
func (tx *Tx) endSignInsOf(ctx context.Context, id ConnectionID) error {
	tx.cutOffAt(tx.pool.dialect.clock+` - 1`, connectionCutoff(id))
	_, err := tx.exec(ctx, `DELETE FROM signins WHERE tenant_id = ? AND connection_id = ?`, tx.actor.Tenant, id)
	return err
}

// The actions on identities.
const (
	IdentityLinked   = "identity.linked"
	IdentityUnlinked = "identity.unlinked"
)

// Identity says that a user is who a provider calls by a subject.
type Identity struct {
	Connection ConnectionID `db:"connection_id" json:"connection"`
	Issuer     string       `db:"issuer" json:"issuer"`
	Subject    string       `db:"subject" json:"subject"`
	UserID     UserID       `db:"user_id" json:"user_id"`
	CreatedAt  Instant      `db:"created_at" json:"created_at"`
}

const identityColumns = `connection_id, issuer, subject, user_id, created_at`

// Identities gives those of a user.
func (r reader) Identities(ctx context.Context, tenant TenantID, user UserID) ([]Identity, error) {
	all := []Identity{}
	if !validID(string(user)) {
		return all, nil
	}
	err := r.list(ctx, &all, `SELECT `+identityColumns+` FROM identities
		WHERE tenant_id = ? AND user_id = ? ORDER BY connection_id, issuer`, tenant, user)
	return all, err
}

// ErrOtherPerson says that a provider names another person, by what SCIM said of
// people, than the one whom its subject is linked to; or that the person is linked
// to another of its subjects. Somebody has to look: Unlink lets them start anew.
var ErrOtherPerson = errors.New("the provider names another person than before")

// Link gives the user of a connection whom a provider calls by issuer and subject,
// as somebody who has just proved to be that subject. value is that of the claim
// that stands for attribute, LinkExternalID or LinkUserName; the first time it is
// what finds the user, and then it may not point to another one. Nothing is looked
// for in other connections, nor by e-mail address.
//
// ErrNotFound when the connection has no such user, ErrAmbiguous when it has
// several, ErrOtherPerson when there is a contradiction. The user may not be live:
// CreateSession tells.
func (tx *Tx) Link(ctx context.Context, c ConnectionRef, issuer, subject, attribute, value string) (UserID, error) {
	if err := tx.own(c); err != nil {
		return "", err
	}
	if !validID(string(c.ID)) || issuer == "" || subject == "" || len(issuer) > maxIssuer || len(subject) > maxIssuer || !isText(issuer) || !isText(subject) {
		return "", fmt.Errorf("issuer %q, subject %q: %w", cut(issuer, 100), cut(subject, 100), ErrInvalid)
	}
	named, err := tx.named(ctx, c, attribute, value)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	linked, found := tx.linked(ctx, c, issuer, subject)
	if found != nil && !errors.Is(found, ErrNotFound) {
		return "", found
	}
	switch {
	case found == nil && named != "" && named != linked:
		return "", fmt.Errorf("subject %q of user %s: %w: %s is user %s", subject, linked, ErrOtherPerson, attribute, named)
	case found == nil:
		if attribute == LinkExternalID {
			if err := tx.sameExternalID(ctx, c, linked, value); err != nil {
				return "", err
			}
		}
		return linked, nil
	case err != nil:
		return "", err
	}

	// Of two that link her at the same time the second finds what the first did.
	var name string
	err = tx.row(ctx, []any{&name}, `SELECT user_name FROM users WHERE tenant_id = ? AND id = ? AND connection_id = ?`+
		tx.pool.dialect.forUpdate, c.Tenant, named, c.ID)
	if err != nil {
		return "", fmt.Errorf("user %s: %w", named, err)
	}
	has, err := tx.Identities(ctx, c.Tenant, named)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(has, func(id Identity) bool { return id.Connection == c.ID && id.Issuer == issuer }); i >= 0 {
		if has[i].Subject == subject {
			return named, nil
		}
		return "", fmt.Errorf("user %s: %w: she is linked to another subject", named, ErrOtherPerson)
	}
	n, err := tx.exec(ctx, `INSERT INTO identities (tenant_id, connection_id, issuer, subject, user_id, created_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, c.Tenant, c.ID, issuer, subject, named, tx.now)
	if err == nil && n == 0 { // by somebody else's hand, and not of this user
		err = ErrOtherPerson
	}
	if err != nil {
		return "", fmt.Errorf("subject %q: %w", subject, err)
	}
	tx.log(IdentityLinked, subjectOf(c, named, name), map[string]string{"issuer": issuer, "subject": subject, "by": attribute})
	return named, nil
}

// sameExternalID is ErrOtherPerson if SCIM calls a user by another externalId than the
// claim does. People are renamed, but that id stays: another one means that SCIM gave
// the account to somebody else.
func (tx *Tx) sameExternalID(ctx context.Context, c ConnectionRef, user UserID, value string) error {
	var known string
	err := tx.row(ctx, []any{&known}, `SELECT external_id FROM users WHERE tenant_id = ? AND id = ? AND connection_id = ?`, c.Tenant, user, c.ID)
	if err == nil && known != "" && value != "" && known != value {
		err = fmt.Errorf("user %s: %w: her externalId is %q", user, ErrOtherPerson, known)
	}
	return err
}

func subjectOf(c ConnectionRef, user UserID, name string) subject {
	return subject{kind: "user", id: string(user), name: name, connection: c.ID}
}

// linked gives the user who a subject is.
func (tx *Tx) linked(ctx context.Context, c ConnectionRef, issuer, subject string) (id UserID, err error) {
	err = tx.row(ctx, []any{&id}, `SELECT u.id FROM identities i JOIN users u ON u.tenant_id = i.tenant_id AND u.id = i.user_id AND u.connection_id = i.connection_id
		WHERE i.tenant_id = ? AND i.connection_id = ? AND i.issuer = ? AND i.subject = ?`, c.Tenant, c.ID, issuer, subject)
	return id, err
}

// named finds the one user of a connection who has a value.
func (tx *Tx) named(ctx context.Context, c ConnectionRef, attribute, value string) (UserID, error) {
	column, ok := map[string]string{LinkExternalID: "external_id", LinkUserName: "user_name_key"}[attribute]
	if !ok {
		return "", fmt.Errorf("link to %q: %w: want %s or %s", attribute, ErrInvalid, LinkExternalID, LinkUserName)
	}
	if attribute == LinkUserName {
		value = Fold(value)
	}
	if value == "" || len(value) > maxKey || !isText(value) { // many have no externalId
		return "", fmt.Errorf("user with %s %q: %w", attribute, cut(value, 100), ErrNotFound)
	}
	var ids []UserID
	err := tx.list(ctx, &ids, `SELECT id FROM users WHERE tenant_id = ? AND connection_id = ? AND `+column+` = ? LIMIT 2`, c.Tenant, c.ID, value)
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("user with %s %q: %w", attribute, value, ErrNotFound)
	case len(ids) > 1:
		return "", fmt.Errorf("users with %s %q: %w", attribute, value, ErrAmbiguous)
	}
	return ids[0], nil
}

// Unlink forgets which subjects a user is, and signs her out. Whom SCIM's words find at
// the next sign-in is she from then on. ErrNotFound when there is no such user, or she
// is no subject.
func (tx *Tx) Unlink(ctx context.Context, c ConnectionRef, user UserID) error {
	if err := tx.own(c); err != nil {
		return err
	}
	u, err := tx.User(ctx, c, user, false)
	if err != nil {
		return err
	}
	var gone []Identity
	err = tx.take(ctx, &gone, `DELETE FROM identities WHERE tenant_id = ? AND user_id = ? RETURNING `+identityColumns, c.Tenant, user)
	if err == nil && len(gone) == 0 {
		err = fmt.Errorf("subject of user %s: %w", user, ErrNotFound)
	}
	if err != nil {
		return err
	}
	for _, id := range gone {
		tx.log(IdentityUnlinked, u.subject(c), map[string]string{"issuer": id.Issuer, "subject": id.Subject})
	}
	_, err = tx.EndSessionsOf(ctx, user, "")
	return err
}

// Revocation says whose sessions end: those of a user, or those that a connection's
// provider vouched for. Of the latter, what is given narrows them down: a session of
// the provider, an issuer's subject, both, or neither for all.
type Revocation struct {
	User            UserID
	Connection      ConnectionID
	Issuer, Subject string
	ProviderSession string
}

// Revoke ends sessions of the actor's tenant and gives their number. What was begun
// before comes to nothing: also a sign-in of whom it names who is still to come back
// from the provider.
func (tx *Tx) Revoke(ctx context.Context, r Revocation) (int, error) {
	switch {
	case r.User != "" && r.Connection == "":
		return tx.EndSessionsOf(ctx, r.User, "")
	case r.User != "" || !validID(string(r.Connection)) || (r.Issuer == "") != (r.Subject == ""):
		return 0, fmt.Errorf("revocation: %w: want a user, or a connection with a subject, a session, or alone", ErrInvalid)
	}
	if err := names(map[string]string{"issuer": r.Issuer, "subject": r.Subject, "session of the provider": r.ProviderSession}); err != nil {
		return 0, err
	}
	where, args := `connection_id = ?`, []any{r.Connection}
	if r.Subject != "" {
		where, args = where+` AND issuer = ? AND subject = ?`, append(args, r.Issuer, r.Subject)
	}
	switch {
	case r.ProviderSession != "":
		where, args = where+` AND provider_session = ?`, append(args, r.ProviderSession)
		tx.cutOff(providerSessionCutoff(r.Connection, r.ProviderSession))
	case r.Subject != "":
		tx.cutOff(subjectCutoff(r.Connection, r.Issuer, r.Subject))
	default:
		if err := tx.endSignInsOf(ctx, r.Connection); err != nil {
			return 0, err
		}
	}
	return tx.endSessions(ctx, "revoked by the provider", where, args...)
}

// tokenKept is for how long behind its end a token is known to have been used: more
// than clocks may differ by, within which it is taken.
const tokenKept = 10 * time.Minute

// UseToken notes that a connection's provider sent a token of that id (jti) that
// works once, until it expires. ErrTaken when it did before.
func (tx *Tx) UseToken(ctx context.Context, c ConnectionID, jti string, expires time.Time) error {
	n, err := tx.exec(ctx, `INSERT INTO used_tokens (tenant_id, key, expires_at) VALUES (?, ?, ?) ON CONFLICT (tenant_id, key) DO NOTHING`,
		tx.actor.Tenant, cutoffKey("token", string(c), jti), At(expires.Add(tokenKept)))
	if err == nil && n == 0 {
		err = fmt.Errorf("token %q: %w: used before", cut(jti, 100), ErrTaken)
	}
	return err
}
