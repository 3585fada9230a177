package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// SessionPrefix begins the secret of every session.
const SessionPrefix = "ghu_"

// MaxSessions is how many sessions a person has at most; a new one ends the oldest.
const MaxSessions = 50

// How long sessions last unless a setting says otherwise, and what such a setting can
// say. The use of a session is noted down half a minute coarse, which has to be little
// of the time that it may be idle.
const (
	DefaultSessionIdle = 30 * time.Minute
	DefaultSessionLife = 12 * time.Hour
	MinSessionIdle     = 5 * time.Minute
	MinSessionLife     = 15 * time.Minute
	MaxSessionLife     = 30 * 24 * time.Hour
)

// MaxSignIn is how long a sign-in may take, from its beginning to its session.
const MaxSignIn = time.Hour

// SessionID names a session; it opens nothing.
type SessionID string

// The ways to sign in.
const (
	MethodOIDC       = "oidc"
	MethodPasskey    = "passkey"
	MethodInvitation = "invitation"
	MethodSetup      = "setup"
	MethodBreakGlass = "break-glass"
)

// The actions on sessions.
const (
	SessionCreated = "session.created"
	SessionEnded   = "session.ended"
)

// Session is somebody who is signed in. The row is the truth: what a browser holds
// is a secret of which only the hash is kept.
type Session struct {
	TenantID TenantID  `db:"tenant_id" json:"tenant_id"`
	ID       SessionID `db:"id" json:"id"`
	UserID   UserID    `db:"user_id" json:"user_id"`
	// Method is how the person signed in: MethodOIDC, MethodPasskey, …
	Method string `db:"method" json:"method"`
	// Connection, Issuer and Subject are who vouched for the person, and
	// ProviderSession is the provider's own session (sid of OpenID Connect
	// Back-Channel Logout 1.0 §2.1); empty when nobody did.
	Connection      ConnectionID `db:"connection_id" json:"connection,omitempty"`
	Issuer          string       `db:"issuer" json:"issuer,omitempty"`
	Subject         string       `db:"subject" json:"subject,omitempty"`
	ProviderSession string       `db:"provider_session" json:"-"`
	CreatedAt       Instant      `db:"created_at" json:"created_at"`
	// SeenAt is when it was last used, half a minute coarse (TouchSessions).
	SeenAt    Instant `db:"seen_at" json:"seen_at"`
	ExpiresAt Instant `db:"expires_at" json:"expires_at"`
	UserAgent string  `db:"user_agent" json:"user_agent"`
	Address   string  `db:"address" json:"address"`
	// BegunAt is when the sign-in began that a session is created for, at most
	// MaxSignIn ago: one that was begun before the person was taken away, or signed
	// out by the provider, comes to nothing. The zero Instant means now.
	BegunAt Instant `db:"-" json:"-"`
	// Browser is that of SignIn, which began it; empty when no provider did.
	Browser string `db:"-" json:"-"`
}

const sessionColumns = `s.tenant_id, s.id, s.user_id, s.method, COALESCE(CAST(s.connection_id AS text), '') AS connection_id,
	s.issuer, s.subject, s.provider_session, s.created_at, s.seen_at, s.expires_at, s.user_agent, s.address`

// liveSession narrows sessions s of users u down to those that work: neither over
// nor idle, of somebody who may sign in. Its parameters are the instant, the one
// before which sessions are idle, and the instant again.
var liveSession = inTime + ` AND ` + mayCome

const inTime = ` s.expires_at > ? AND s.seen_at > ?`

var mayCome = `u.active AND ` + said("login_allowed", "TRUE") + ` AND (` + said("expires_at", "0") + ` = 0 OR ` + said("expires_at", "0") + ` > ?)`

// live are the parameters of liveSession.
func (s *Store) live() []any {
	now := s.now()
	return []any{At(now), At(now.Add(-s.sessionIdle)), At(now)}
}

// Session finds the session with this secret: one question, asked anew each time,
// so that whoever is taken away is out with the next request on every replica.
// ErrNotFound when there is none, when it is over or idle, or when the person is
// not live; nothing tells these apart.
func (s *Store) Session(ctx context.Context, secret string) (Session, error) {
	var v Session
	err := s.row(ctx, []any{&v.TenantID, &v.ID, &v.UserID, &v.Method, &v.Connection, &v.Issuer, &v.Subject, &v.ProviderSession,
		&v.CreatedAt, &v.SeenAt, &v.ExpiresAt, &v.UserAgent, &v.Address},
		sessionQuery, append([]any{hashSecret(secret)}, s.live()...)...)
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return v, nil
}

// lapsedFor is how long the row of a session that is over stays.
const lapsedFor = time.Hour

// LapsedSession gives whose session it was that has this secret and is idle or over:
// not one that was ended, nor of somebody who may not sign in. It opens nothing; what
// is sent with it can be kept for her until she has signed in again. ErrNotFound when
// there is none, or it works.
func (s *Store) LapsedSession(ctx context.Context, secret string) (TenantID, UserID, error) {
	var tenant TenantID
	var user UserID
	err := s.row(ctx, []any{&tenant, &user}, `SELECT s.tenant_id, s.user_id FROM sessions s CROSS JOIN users u
		WHERE s.hash = ? AND u.tenant_id = s.tenant_id AND u.id = s.user_id AND NOT (`+inTime+`) AND `+mayCome,
		append([]any{hashSecret(secret)}, s.live()...)...)
	if err != nil {
		return "", "", fmt.Errorf("lapsed session: %w", err)
	}
	return tenant, user, nil
}

var sessionQuery = `SELECT ` + sessionColumns + ` FROM sessions s CROSS JOIN users u
	WHERE s.hash = ? AND u.tenant_id = s.tenant_id AND u.id = s.user_id AND ` + liveSession

// Sessions gives the sessions of a person that work, the newest first.
func (s *Store) Sessions(ctx context.Context, tenant TenantID, user UserID) ([]Session, error) {
	sessions := []Session{}
	if !validID(string(user)) {
		return sessions, nil
	}
	err := s.list(ctx, &sessions, `SELECT `+sessionColumns+` FROM sessions s CROSS JOIN users u
		WHERE s.tenant_id = ? AND s.user_id = ? AND u.tenant_id = s.tenant_id AND u.id = s.user_id AND `+liveSession+`
		ORDER BY s.id DESC`, append([]any{tenant, user}, s.live()...)...)
	return sessions, err
}

// HasSessionAt reports whether a session belongs to one that a connection's provider
// calls so.
func (s *Store) HasSessionAt(ctx context.Context, c ConnectionRef, session string) (bool, error) {
	if !validID(string(c.ID)) || !validID(string(c.Tenant)) || session == "" || !isText(session) {
		return false, nil
	}
	var found []SessionID
	err := s.list(ctx, &found, `SELECT id FROM sessions WHERE tenant_id = ? AND connection_id = ? AND provider_session = ? AND provider_session <> '' LIMIT 1`,
		c.Tenant, c.ID, session)
	return len(found) > 0, err
}

// CreateSession signs a person of the actor's tenant in and gives the secret, which
// can't be had again. It works until it was not used for Options.SessionIdle, at
// most Options.SessionLife, or until ExpiresAt if that is given and earlier.
// ErrNotFound when there is no such person, or she is not live, or what began at
// BegunAt has been ended since.
func (tx *Tx) CreateSession(ctx context.Context, v Session) (Session, string, error) {
	who, err := tx.lockLive(ctx, v.UserID)
	if err != nil {
		return Session{}, "", err
	}
	if err := names(map[string]string{"issuer": v.Issuer, "subject": v.Subject, "session of the provider": v.ProviderSession}); err != nil {
		return Session{}, "", err
	}
	if err := tx.goesOn(ctx, v); err != nil {
		return Session{}, "", err
	}
	v.TenantID, v.ID = tx.actor.Tenant, SessionID(newID())
	v.CreatedAt, v.SeenAt = tx.now, tx.now
	if end := At(tx.now.Add(tx.store.sessionLife)); v.ExpiresAt.IsZero() || end.Before(v.ExpiresAt.Time) {
		v.ExpiresAt = end
	}
	v.UserAgent, v.Address = cut(v.UserAgent, 300), cut(v.Address, 100)
	if err := tx.endOldest(ctx, v.UserID); err != nil {
		return Session{}, "", err
	}
	secret := newSecret(SessionPrefix)
	_, err = tx.exec(ctx, `INSERT INTO sessions (tenant_id, id, user_id, hash, method, connection_id, issuer, subject, provider_session,
			created_at, seen_at, expires_at, user_agent, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.TenantID, v.ID, v.UserID, hashSecret(secret), v.Method, optional(v.Connection), v.Issuer, v.Subject, v.ProviderSession,
		v.CreatedAt, v.SeenAt, v.ExpiresAt, v.UserAgent, v.Address)
	if err != nil {
		return Session{}, "", fmt.Errorf("session of user %s: %w", v.UserID, err)
	}
	tx.visited(v.UserID)
	tx.log(SessionCreated, subject{kind: "session", id: string(v.ID), name: who, connection: v.Connection},
		map[string]string{"user": string(v.UserID), "method": v.Method, "address": v.Address})
	return v, secret, nil
}

// visited notes when somebody last signed in: sessions are forgotten.
func (tx *Tx) visited(user UserID) {
	tx.later(`INSERT INTO visits (tenant_id, user_id, at) VALUES (?, ?, ?)
		ON CONFLICT (tenant_id, user_id) DO UPDATE SET at = EXCLUDED.at`, tx.actor.Tenant, user, tx.now)
}

// lockLive locks a person who may sign in and gives her userName. ErrNotFound when
// there is none, or she may not.
func (tx *Tx) lockLive(ctx context.Context, user UserID) (userName string, err error) {
	if !validID(string(user)) {
		return "", fmt.Errorf("user %q: %w", user, ErrNotFound)
	}
	var active bool
	err = tx.row(ctx, []any{&userName, &active}, `SELECT user_name, active FROM users WHERE tenant_id = ? AND id = ?`+
		tx.pool.dialect.forUpdate, tx.actor.Tenant, user)
	if err != nil {
		return "", fmt.Errorf("user %s: %w", user, err)
	}
	p, err := tx.Person(ctx, tx.actor.Tenant, user)
	if err != nil {
		return "", err
	}
	if !active || !p.live(tx.now.Time) {
		return "", fmt.Errorf("user %s: %w: not live", user, ErrNotFound)
	}
	return userName, nil
}

// live reports whether what we say of a user lets her sign in.
func (p Person) live(now time.Time) bool {
	return p.LoginAllowed && (p.ExpiresAt.IsZero() || now.Before(p.ExpiresAt))
}

// endOldest makes room for one more session of a person.
func (tx *Tx) endOldest(ctx context.Context, user UserID) error {
	var ids []SessionID
	err := tx.list(ctx, &ids, `SELECT id FROM sessions WHERE tenant_id = ? AND user_id = ? ORDER BY id DESC LIMIT 1000 OFFSET ?`,
		tx.actor.Tenant, user, MaxSessions-1)
	for _, id := range ids {
		if err == nil {
			_, err = tx.endSessions(ctx, "too many", `id = ?`, id)
		}
	}
	return err
}

// EndSession signs out. ErrNotFound when the tenant has no such session.
func (tx *Tx) EndSession(ctx context.Context, id SessionID) error {
	if !validID(string(id)) {
		return fmt.Errorf("session %q: %w", id, ErrNotFound)
	}
	n, err := tx.endSessions(ctx, "signed out", `id = ?`, id)
	if err == nil && n == 0 {
		err = fmt.Errorf("session %s: %w", id, ErrNotFound)
	}
	return err
}

// EndSessionsOf signs a person out everywhere but in one session, which may be
// empty, and gives the number of sessions ended. What she has begun to sign in with
// comes to nothing.
func (tx *Tx) EndSessionsOf(ctx context.Context, user UserID, except SessionID) (int, error) {
	if !validID(string(user)) || except != "" && !validID(string(except)) {
		return 0, fmt.Errorf("user %q, session %q: %w", user, except, ErrNotFound)
	}
	tx.cutOff(userCutoff(user))
	return tx.endSessions(ctx, "signed out everywhere", `user_id = ? AND id <> `+tx.pool.dialect.idParam, user, cmp.Or(string(except), zeroID))
}

// endSessions ends sessions of the actor's tenant and gives their number.
func (tx *Tx) endSessions(ctx context.Context, why, where string, args ...any) (int, error) {
	var ended []struct {
		ID         SessionID    `db:"id"`
		UserID     UserID       `db:"user_id"`
		Connection ConnectionID `db:"connection_id"`
	}
	err := tx.take(ctx, &ended, `DELETE FROM sessions WHERE tenant_id = ? AND `+where+`
		RETURNING id, user_id, COALESCE(CAST(connection_id AS text), '') AS connection_id`, append([]any{tx.actor.Tenant}, args...)...)
	for _, v := range ended {
		tx.log(SessionEnded, subject{kind: "session", id: string(v.ID), connection: v.Connection},
			map[string]string{"user": string(v.UserID), "why": why})
	}
	return len(ended), err
}

// take runs a statement that gives back the rows it changed.
func (tx *Tx) take(ctx context.Context, dst any, query string, args ...any) error {
	err := tx.list(ctx, dst, query, args...)
	tx.failed = cmp.Or(tx.failed, err)
	return err
}

// TouchSessions notes when sessions were last used. It is no change of the
// directory and leaves no row in the log.
func (tx *Tx) TouchSessions(ctx context.Context, used map[SessionID]Session) error {
	for _, v := range used {
		_, err := tx.exec(ctx, `UPDATE sessions SET seen_at = ? WHERE tenant_id = ? AND id = ? AND seen_at < ?`,
			v.SeenAt, v.TenantID, v.ID, v.SeenAt)
		if err != nil {
			return err
		}
	}
	return nil
}

// shutOut ends all that a person has begun, in the transaction that takes her away,
// or lets her in again: nothing older than that opens anything. That goes for
// whoever she was going to let in, too.
func (tx *Tx) shutOut(ctx context.Context, user UserID, why string) error {
	tx.cutOff(userCutoff(user))
	if _, err := tx.endSessions(ctx, why, `user_id = ?`, user); err != nil {
		return err
	}
	tx.later(`DELETE FROM ceremonies WHERE tenant_id = ? AND user_id = ?`, tx.actor.Tenant, user)
	return tx.withdraw(ctx, why, `(user_id = ? OR sponsor_id = ? OR invited_by = ?)`, user, user, user)
}

// shutOutEvenIfLast does the same when the provider wants to take somebody away who
// has to stay, because nobody else would own the tenant.
func (tx *Tx) shutOutEvenIfLast(user UserID) {
	if tx.actor.Kind == ActorSCIM {
		tx.amends = append(tx.amends, amends{ErrLastOwner, func(ctx context.Context, tx *Tx) error {
			return tx.shutOut(ctx, user, "taken away by the provider, though the last owner")
		}})
	}
}

// A cutoff is an instant up to which nothing that was begun may become a session,
// of those that its key names. They are kept longer than any sign-in may take.

const cutoffLife = 24 * MaxSignIn

func cutoffKey(parts ...string) []byte {
	text, _ := json.Marshal(parts) // keeps the parts apart
	h := sha256.Sum256(text)
	return h[:]
}

func userCutoff(user UserID) []byte { return cutoffKey("user", string(user)) }

func connectionCutoff(c ConnectionID) []byte { return cutoffKey("connection", string(c)) }

func browserCutoff(browser []byte) []byte { return cutoffKey("browser", hex.EncodeToString(browser)) }

func subjectCutoff(c ConnectionID, issuer, subject string) []byte {
	return cutoffKey("subject", string(c), issuer, subject)
}

func providerSessionCutoff(c ConnectionID, sid string) []byte {
	return cutoffKey("session", string(c), sid)
}

// cutoffUpsert writes a cutoff at an instant in SQL, and leaves a later one.
func cutoffUpsert(at string) string {
	return `INSERT INTO cutoffs (tenant_id, key, at, expires_at) VALUES (?, ?, ` + at + `, ?)
	ON CONFLICT (tenant_id, key) DO UPDATE SET
		at = CASE WHEN cutoffs.at < excluded.at THEN excluded.at ELSE cutoffs.at END, expires_at = excluded.expires_at`
}

// sharedNow is the time by the clock that all replicas share, as the parameter of
// dialect.clock: nil for the database server's, and our own where there is no server.
// What one replica has begun and another ends is compared by it: by their own clocks,
// it would go on if the first one's is ahead.
func (tx *Tx) sharedNow() any {
	if tx.store.ownClock {
		return tx.now
	}
	return nil
}

// cutOff ends what was begun until now.
func (tx *Tx) cutOff(key []byte) { tx.cutOffAt(tx.pool.dialect.clock, key) }

func (tx *Tx) cutOffAt(at string, key []byte) {
	tx.later(cutoffUpsert(at), tx.actor.Tenant, key, tx.sharedNow(), At(tx.now.Add(cutoffLife)))
}

// goesOn is ErrNotFound if what a session is created for has been ended.
func (tx *Tx) goesOn(ctx context.Context, v Session) error {
	if v.BegunAt.IsZero() {
		return nil
	}
	keys := [][]byte{userCutoff(v.UserID)}
	if v.Connection != "" {
		keys = append(keys, connectionCutoff(v.Connection), subjectCutoff(v.Connection, v.Issuer, v.Subject))
	}
	if v.ProviderSession != "" {
		keys = append(keys, providerSessionCutoff(v.Connection, v.ProviderSession))
	}
	if v.Browser != "" {
		keys = append(keys, browserCutoff([]byte(v.Browser)))
	}
	return tx.notCutOff(ctx, v.BegunAt, keys...)
}

// notCutOff is ErrNotFound if something that was begun then, by any of the keys, has
// been ended. Until the end of the transaction nobody else ends it.
func (tx *Tx) notCutOff(ctx context.Context, begun Instant, keys ...[]byte) error {
	if tx.now.Sub(begun.Time) > MaxSignIn {
		return fmt.Errorf("sign-in begun at %s: %w: too long ago", begun, ErrNotFound)
	}
	slices.SortFunc(keys, bytes.Compare)
	for _, key := range keys {
		var at []Instant
		err := tx.take(ctx, &at, cutoffUpsert("?")+` RETURNING at`, tx.actor.Tenant, key, Instant{}, At(tx.now.Add(cutoffLife)))
		if err != nil {
			return err
		}
		if !begun.After(at[0].Time) {
			return fmt.Errorf("sign-in begun at %s: %w: ended at %s", begun, ErrNotFound, at[0])
		}
	}
	return nil
}

// SweepSignIn deletes at most limit rows of each kind that is over: sessions,
// cutoffs, sign-ins that nobody came back from, drafts, and the like. Their end changes
// nothing and leaves no row in the log.
func (tx *Tx) SweepSignIn(ctx context.Context, limit int) (int, error) {
	total := 0
	for table, key := range map[string]string{"sessions": "id", "cutoffs": "key", "signins": "state", "used_tokens": "key", "ceremonies": "key", "drafts": "id"} {
		before := tx.now
		if table == "sessions" {
			before = At(before.Add(-lapsedFor)) // for LapsedSession
		}
		n, err := tx.exec(ctx, `DELETE FROM `+table+` WHERE (tenant_id, `+key+`) IN (
			SELECT tenant_id, `+key+` FROM `+table+` WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`, before, limit)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// cut makes a text that somebody else sent fit to be kept.
func cut(text string, length int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
	if len(text) > length {
		text = strings.ToValidUTF8(text[:length], "")
	}
	return text
}
