package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/access"
)

// EntrancePrefix begins the secret of every set-up and break-glass link.
const EntrancePrefix = "ghb_"

// How long the ways in work that need nobody inside, and how long whoever broke the
// glass is an owner.
const (
	SetupLife       = 24 * time.Hour
	BreakGlassOpen  = 15 * time.Minute
	BreakGlassOwner = time.Hour
)

// maxSetups is how many set-up links of a tenant work: each start of each replica
// prints one.
const maxSetups = 20

// The kinds of entrance.
const (
	EntranceSetup      = "setup"
	EntranceBreakGlass = "break-glass"
)

// The actions on entrances.
const (
	SetupCreated      = "setup.created"
	SetupUsed         = "setup.used"
	BreakGlassCreated = "breakglass.created"
	BreakGlassUsed    = "breakglass.used"
)

// Entrance is a way in that needs nobody inside: it makes an owner, once.
type Entrance struct {
	TenantID TenantID `db:"tenant_id" json:"tenant_id"`
	ID       string   `db:"id" json:"id"`
	// Kind is EntranceSetup or EntranceBreakGlass.
	Kind string `db:"kind" json:"kind"`
	// UserID is the owner that it made, and UsedFrom the address from which.
	UserID    UserID  `db:"user_id" json:"user_id,omitempty"`
	CreatedBy string  `db:"created_by" json:"created_by"`
	CreatedAt Instant `db:"created_at" json:"created_at"`
	ExpiresAt Instant `db:"expires_at" json:"expires_at"`
	UsedAt    Instant `db:"used_at" json:"used_at"`
	UsedFrom  string  `db:"used_from" json:"used_from,omitempty"`
}

func (e Entrance) subject() subject { return subject{kind: "entrance", id: e.ID, name: e.Kind} }

const entranceColumns = `tenant_id, id, kind, COALESCE(CAST(user_id AS text), '') AS user_id, created_by, created_at, expires_at, used_at, used_from`

// BreakGlasses gives the codes that were made for a tenant and what became of them,
// the newest first, at most limit.
func (r reader) BreakGlasses(ctx context.Context, tenant TenantID, limit int) ([]Entrance, error) {
	all := []Entrance{}
	err := r.list(ctx, &all, `SELECT `+entranceColumns+` FROM entrances WHERE tenant_id = ? AND kind = ? ORDER BY id DESC LIMIT ?`,
		tenant, EntranceBreakGlass, limit)
	return all, err
}

// EntranceBySecret gives the entrance of any tenant that a secret opens. Looking
// doesn't use it up. ErrNotFound when there is none, or not any more.
func (s *Store) EntranceBySecret(ctx context.Context, secret string) (Entrance, error) {
	var e Entrance
	err := s.get(ctx, &e, `SELECT `+entranceColumns+` FROM entrances WHERE hash = ? AND used_at = 0 AND expires_at > ?`, hashSecret(secret), At(s.now()))
	if err != nil {
		return Entrance{}, fmt.Errorf("entrance: %w", err)
	}
	return e, nil
}

// CreateSetup makes a link with which somebody becomes the first owner of the actor's
// tenant, and gives its secret, which can't be had again. ErrInUse when the tenant has
// an owner.
func (tx *Tx) CreateSetup(ctx context.Context) (Entrance, string, error) {
	if err := tx.ownerless(ctx); err != nil {
		return Entrance{}, "", err
	}
	_, err := tx.exec(ctx, `DELETE FROM entrances WHERE tenant_id = ? AND id IN (SELECT id FROM entrances
		WHERE tenant_id = ? AND kind = ? ORDER BY id DESC LIMIT 1000 OFFSET ?)`, tx.actor.Tenant, tx.actor.Tenant, EntranceSetup, maxSetups-1)
	if err != nil {
		return Entrance{}, "", err
	}
	return tx.createEntrance(ctx, EntranceSetup, SetupCreated, SetupLife)
}

// ownerless is ErrInUse if the actor's tenant has an owner; nobody becomes one
// meanwhile.
func (tx *Tx) ownerless(ctx context.Context) error {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return err
	}
	facts, err := tx.candidates(ctx, edit.policy)
	if err != nil {
		return err
	}
	if len(access.Owners(access.State{Facts: facts, Policy: edit.policy, At: tx.now.Time})) > 0 {
		return fmt.Errorf("tenant %s: %w: it has an owner", tx.actor.Tenant, ErrInUse)
	}
	return nil
}

func (tx *Tx) createEntrance(ctx context.Context, kind, action string, life time.Duration) (Entrance, string, error) {
	e := Entrance{TenantID: tx.actor.Tenant, ID: newID(), Kind: kind, CreatedBy: cut(tx.actor.Kind+" "+tx.actor.ID, 200),
		CreatedAt: tx.now, ExpiresAt: At(tx.now.Add(life))}
	secret := newSecret(EntrancePrefix)
	_, err := tx.exec(ctx, `INSERT INTO entrances (tenant_id, id, kind, hash, created_by, created_at, expires_at, used_at, used_from) VALUES (?, ?, ?, ?, ?, ?, ?, 0, '')`,
		e.TenantID, e.ID, e.Kind, hashSecret(secret), e.CreatedBy, e.CreatedAt, e.ExpiresAt)
	if err != nil {
		return e, "", err
	}
	tx.log(action, e.subject(), nil)
	return e, secret, nil
}

// TakeSetup makes the first owner of the actor's tenant out of whoever shows the
// secret of a set-up link; email may be empty. All such links of the tenant end with
// it. ErrNotFound when the link opens nothing, or not any more, ErrInUse when somebody
// else has become the owner.
func (tx *Tx) TakeSetup(ctx context.Context, secret, displayName, email, address string) (Entrance, error) {
	displayName = strings.TrimSpace(displayName)
	if displayName == "" || len(displayName) > 200 || len(email) > 254 || !isText(displayName) || !isText(email) {
		return Entrance{}, fmt.Errorf("name %q: %w: want your name", cut(displayName, 50), ErrInvalid)
	}
	if err := tx.ownerless(ctx); err != nil {
		return Entrance{}, err
	}
	e, err := tx.takeEntrance(ctx, EntranceSetup, secret, address)
	if err != nil {
		return e, err
	}
	if _, err := tx.exec(ctx, `DELETE FROM entrances WHERE tenant_id = ? AND kind = ?`, e.TenantID, EntranceSetup); err != nil {
		return e, err
	}
	u, _, err := tx.createLocal(ctx, displayName, email, "owner-"+e.ID)
	if err != nil {
		return e, err
	}
	return tx.makeOwner(ctx, e, u, SetupUsed, Instant{}, "set up Gatehouse")
}

// CreateBreakGlass makes a code that opens the actor's tenant when no owner can sign
// in, for BreakGlassOpen, and gives its secret, which can't be had again. Nobody owns
// anything by it until it is used.
func (tx *Tx) CreateBreakGlass(ctx context.Context) (Entrance, string, error) {
	return tx.createEntrance(ctx, EntranceBreakGlass, BreakGlassCreated, BreakGlassOpen)
}

// TakeBreakGlass makes whoever shows the secret an owner of the actor's tenant, for
// BreakGlassOwner: a person of her own each time, whose account ends with it.
// ErrNotFound when the secret opens nothing, or not any more.
func (tx *Tx) TakeBreakGlass(ctx context.Context, secret, address string) (Entrance, error) {
	if _, err := tx.lockPolicy(ctx); err != nil {
		return Entrance{}, err
	}
	e, err := tx.takeEntrance(ctx, EntranceBreakGlass, secret, address)
	if err != nil {
		return e, err
	}
	u, _, err := tx.createLocal(ctx, "Break-glass "+tx.now.Format("2006-01-02 15:04"), "", "break-glass-"+e.ID)
	if err != nil {
		return e, err
	}
	until := At(tx.now.Add(BreakGlassOwner))
	_, err = tx.ChangePerson(ctx, u.ID, func(p Person) Person {
		p.Kind, p.ExpiresAt = access.KindService, until.Time
		return p
	})
	if err != nil {
		return e, err
	}
	return tx.makeOwner(ctx, e, u, BreakGlassUsed, until, "broke the glass")
}

// takeEntrance uses an entrance up.
func (tx *Tx) takeEntrance(ctx context.Context, kind, secret, address string) (Entrance, error) {
	var found []Entrance
	err := tx.take(ctx, &found, `UPDATE entrances SET used_at = ?, used_from = ? WHERE tenant_id = ? AND kind = ? AND hash = ? AND used_at = 0 AND expires_at > ?
		RETURNING `+entranceColumns, tx.now, cut(address, 100), tx.actor.Tenant, kind, hashSecret(secret), tx.now)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: %w", kind, ErrNotFound)
	}
	if err != nil {
		return Entrance{}, err
	}
	return found[0], nil
}

// makeOwner makes a user an owner by an entrance.
func (tx *Tx) makeOwner(ctx context.Context, e Entrance, u User, action string, until Instant, reason string) (Entrance, error) {
	e.UserID = u.ID
	_, err := tx.AddGrants(ctx, access.Grant{
		Subject: access.Grantee{User: access.UserID(u.ID)}, Effect: access.Allow, Product: access.ConsoleID, Role: access.RoleOwner,
		Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect, Reason: reason, Until: until.Time,
	})
	if err != nil {
		return e, err
	}
	if _, err := tx.exec(ctx, `UPDATE entrances SET user_id = ? WHERE tenant_id = ? AND id = ?`, u.ID, e.TenantID, e.ID); err != nil {
		return e, err
	}
	tx.log(action, e.subject(), map[string]string{"user": string(u.ID), "address": e.UsedFrom})
	return e, nil
}

// The actions of what was refused.
const (
	SignInRefused = "signin.refused"
	AccessRefused = "access.refused"
)

// MaxRefusals is how many refusals of a kind in a tenant this process logs a minute.
// The others are counted, and logged as one (CountRefusals), so that whoever is
// refused all the time can't fill the log.
const MaxRefusals = 20

// Refusal is somebody who was refused.
type Refusal struct {
	// Action is SignInRefused or AccessRefused.
	Action     string
	Connection ConnectionID
	// UserID and Name are who, as far as it is known.
	UserID UserID
	Name   string
	// Why is a short word; Detail may say more, and no secret.
	Why, Detail string
	Address     string
}

type refusalsOf struct {
	tenant TenantID
	action string
}

type refusals struct {
	minute time.Time
	logged int
	more   int
}

// Refused logs that somebody was refused in the actor's tenant, or counts it. While
// nobody knows which tenant it is about, there is no log to write to.
func (s *Store) Refused(ctx context.Context, actor Actor, r Refusal) error {
	if r.Action != SignInRefused && r.Action != AccessRefused || r.Connection != "" && !validID(string(r.Connection)) {
		return fmt.Errorf("refusal %q: %w", r.Action, ErrInvalid)
	}
	if actor.Tenant == "" || !s.mayLog(refusalsOf{actor.Tenant, r.Action}) {
		return nil
	}
	return s.Write(ctx, actor, func(tx *Tx) error {
		tx.log(r.Action, subject{kind: "refusal", id: newID(), name: cut(r.Name, 200), connection: r.Connection},
			map[string]string{"user": cut(string(r.UserID), idLength), "why": cut(r.Why, 100), "detail": cut(r.Detail, 500), "address": cut(r.Address, 100)})
		return nil
	})
}

func (s *Store) mayLog(of refusalsOf) bool {
	s.refusalsMu.Lock()
	defer s.refusalsMu.Unlock()
	if s.refusals == nil {
		s.refusals = map[refusalsOf]*refusals{}
	}
	n := s.refusals[of]
	if n == nil {
		n = &refusals{}
		s.refusals[of] = n
	}
	if minute := s.now().Truncate(time.Minute); !minute.Equal(n.minute) {
		n.minute, n.logged = minute, 0
	}
	if n.logged >= MaxRefusals {
		n.more++
		return false
	}
	n.logged++
	return true
}

// CountRefusals logs how many refusals were only counted; call it every minute or so,
// and at the end.
func (s *Store) CountRefusals(ctx context.Context) error {
	s.refusalsMu.Lock()
	more := map[refusalsOf]int{}
	for of, n := range s.refusals {
		if n.more > 0 {
			more[of], n.more = n.more, 0
		}
		if s.now().Sub(n.minute) > time.Minute {
			delete(s.refusals, of)
		}
	}
	s.refusalsMu.Unlock()
	var failed error
	for of, n := range more {
		err := s.Write(ctx, Actor{Tenant: of.tenant, Kind: ActorSystem}, func(tx *Tx) error {
			tx.log(of.action, subject{kind: "refusal", id: newID()}, map[string]int{"more": n})
			return nil
		})
		failed = errors.Join(failed, err)
	}
	return failed
}
