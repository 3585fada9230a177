package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// maxKey bounds, in bytes, what goes into an index: PostgreSQL refuses index
// rows over 2,704 bytes, with an error instead of a verdict.
const maxKey = 2000

// User is a person as a connection told us (RFC 7643 §4.1).
type User struct {
	ID          UserID `db:"id"`
	UserName    string `db:"user_name"`
	ExternalID  string `db:"external_id"` // "" when the provider gave none
	DisplayName string `db:"display_name"`
	Active      bool   `db:"active"`
	// Emails are the addresses that the user can be found by.
	Emails []string `db:"-"`
	// Doc is the JSON object of all attributes as the provider set them, without
	// what Gatehouse adds: id, meta, schemas, groups.
	Doc []byte `db:"doc"`
	// Search is the JSON object that filters look into: names in lower case,
	// values folded where case doesn't matter. It is written, never read back.
	Search []byte `db:"-"`
	// Groups is the JSON array of the groups that the user is a member of, in the
	// order of their ids.
	Groups     []byte  `db:"groups"`
	Version    int64   `db:"version"`
	CreatedAt  Instant `db:"created_at"`
	ModifiedAt Instant `db:"modified_at"`
	// SortKey is what Query.Sort sorted by, of a user in a sorted list.
	SortKey *string `db:"sort_key"`
}

const userColumns = `u.id, u.user_name, u.external_id, u.display_name, u.active, u.doc, u.version, u.created_at, u.modified_at`

// userColumns are the columns of a User, with its groups if wanted.
func (r reader) userColumns(withGroups bool) string {
	if !withGroups {
		return userColumns
	}
	return userColumns + `, ` + r.pool.dialect.groupsOfUser + ` AS groups`
}

// User reads one user of a connection. Its groups are left out unless asked for.
func (r reader) User(ctx context.Context, c ConnectionRef, id UserID, withGroups bool) (User, error) {
	var u User
	return u, r.readUser(ctx, c, id, &u, withGroups, "")
}

// ShownUser reads what is shown of one user of a connection: ID, Doc, Groups,
// Version and the times. The other columns repeat what the document says, and
// cost PostgreSQL a tenth of the whole request.
func (s *Store) ShownUser(ctx context.Context, c ConnectionRef, id UserID) (User, error) {
	if !validID(string(id)) {
		return User{}, fmt.Errorf("user %q: %w", id, ErrNotFound)
	}
	u, err := s.shown.about(c, string(id))
	if err == nil {
		err = s.addIndirect(ctx, c, u)
	}
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", id, err)
	}
	return *u, nil
}

// askShown answers questions for ShownUser.
func (s *Store) askShown(c ConnectionRef, all []*asked[*User]) error {
	d := s.pool.dialect
	st, release, err := s.prepare(context.Background(), s.shownByID.of(len(all)))
	if err != nil {
		return d.classify(err)
	}
	defer release()
	rows, err := st.Stmt.Query(argsOf(all, c.Tenant, string(c.ID))...)
	if err != nil {
		return d.classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		u := new(User)
		if err := rows.Scan((*string)(&u.ID), &u.Doc, &u.Version, &u.CreatedAt, &u.ModifiedAt, &u.Groups); err != nil {
			return err
		}
		if q := pick(all, string(u.ID)); q != nil {
			q.answer = u
		}
	}
	return d.classify(rows.Err())
}

// readUser reads a user, with a lock if that is given.
func (r reader) readUser(ctx context.Context, c ConnectionRef, id UserID, u *User, withGroups bool, lock string) error {
	if !validID(string(id)) {
		return fmt.Errorf("user %q: %w", id, ErrNotFound)
	}
	dst := []any{&u.ID, &u.UserName, &u.ExternalID, &u.DisplayName, &u.Active, &u.Doc, &u.Version, &u.CreatedAt, &u.ModifiedAt}
	if withGroups {
		dst = append(dst, &u.Groups)
	}
	err := r.row(ctx, dst, `SELECT `+r.userColumns(withGroups)+` FROM users u
		WHERE u.tenant_id = ? AND u.id = ? AND u.connection_id = ?`+lock, c.Tenant, id, c.ID)
	if err == nil {
		err = r.addIndirect(ctx, c, u)
	}
	if err != nil {
		return fmt.Errorf("user %s: %w", id, err)
	}
	return nil
}

// CreateUser adds a user to a connection of the actor's tenant and gives it with
// its id. Write's ErrTaken says that the connection has one of that userName.
func (tx *Tx) CreateUser(ctx context.Context, c ConnectionRef, u User) (User, error) {
	if err := tx.own(c); err != nil {
		return u, err
	}
	if err := u.check(); err != nil {
		return u, err
	}
	u.ID = UserID(newID())
	u.Version = 1
	u.CreatedAt, u.ModifiedAt = tx.now, tx.now
	tx.insert(`users (tenant_id, id, connection_id, user_name, user_name_key, external_id, display_name, display_name_key, active, doc, search, version, created_at, modified_at)`,
		c.Tenant, u.ID, c.ID, u.UserName, Fold(u.UserName), u.ExternalID,
		u.DisplayName, Fold(u.DisplayName), u.Active, string(u.Doc), string(u.Search), u.Version, u.CreatedAt, u.ModifiedAt)
	if err := tx.setEmails(ctx, c, u); err != nil {
		return u, err
	}
	tx.setWords(c, u.ID, User{}, u)
	tx.resize(c, "user", 1, 0)
	tx.log(UserCreated, u.subject(c), map[string]bool{"active": u.Active})
	return u, nil
}

// UpdateUser changes a user by a pure function of what it is now, and gives it
// with its groups; change may be called again. What it was goes to the past. When
// nothing changes, nothing is written. Write's ErrTaken says that the new userName
// is another's, ErrLastOwner that the user is the last owner and has to stay.
func (tx *Tx) UpdateUser(ctx context.Context, c ConnectionRef, id UserID, change func(User) (User, error)) (User, error) {
	if err := tx.own(c); err != nil {
		return User{}, err
	}
	var before User
	if err := tx.readUser(ctx, c, id, &before, true, tx.pool.dialect.forUpdate); err != nil {
		return User{}, err
	}
	u, err := change(before)
	if err != nil {
		return User{}, err
	}
	if string(u.Doc) == string(before.Doc) && u.Active == before.Active {
		return before, nil
	}
	if err := u.check(); err != nil {
		return User{}, err
	}

	if before.Active && !u.Active {
		tx.shutOutEvenIfLast(id)
		if err := tx.guardOwner(ctx, id); err != nil {
			return User{}, err
		}
	}
	u.ID, u.CreatedAt, u.Groups = before.ID, before.CreatedAt, before.Groups
	u.Version = before.Version + 1
	u.ModifiedAt = later(tx.now, before.ModifiedAt)
	action := UserUpdated
	switch {
	case before.Active && !u.Active:
		action = UserDeactivated
	case !before.Active && u.Active:
		action = UserActivated
	}
	changeID := tx.log(action, u.subject(c), nil)
	tx.endUser(c, before, u.ModifiedAt, changeID)
	tx.later(`UPDATE users SET user_name = ?, user_name_key = ?, external_id = ?, display_name = ?, display_name_key = ?,
			active = ?, doc = ?, search = ?, version = ?, modified_at = ?
		WHERE tenant_id = ? AND id = ?`,
		u.UserName, Fold(u.UserName), u.ExternalID, u.DisplayName, Fold(u.DisplayName),
		u.Active, string(u.Doc), string(u.Search), u.Version, u.ModifiedAt, c.Tenant, u.ID)
	if err := tx.setEmails(ctx, c, u); err != nil {
		return User{}, err
	}
	tx.setWords(c, id, before, u)
	if u.Active != before.Active {
		return u, tx.shutOut(ctx, id, action)
	}
	return u, nil
}

// DeleteUser removes a user for good, with its memberships; the past keeps both.
// Grants to the user stay, for nobody: ids are not used again. Write's
// ErrLastOwner says that the user is the last owner and has to stay.
func (tx *Tx) DeleteUser(ctx context.Context, c ConnectionRef, id UserID) error {
	return tx.DeleteUserIf(ctx, c, id, func(User) error { return nil })
}

// DeleteUserIf is DeleteUser on a condition: an error of allowed, which sees the
// user as it is under the lock, without groups, is returned and nothing done.
func (tx *Tx) DeleteUserIf(ctx context.Context, c ConnectionRef, id UserID, allowed func(User) error) error {
	if err := tx.own(c); err != nil {
		return err
	}
	if !validID(string(id)) {
		return fmt.Errorf("user %q: %w", id, ErrNotFound)
	}
	// Groups are locked before users everywhere, in the order of their ids, so
	// that no two transactions wait for each other.
	var groups []GroupID
	err := tx.list(ctx, &groups, `SELECT id FROM groups WHERE tenant_id = ? AND id IN
			(SELECT group_id FROM members WHERE tenant_id = ? AND user_id = ?)
		ORDER BY id`+tx.pool.dialect.forUpdate, c.Tenant, c.Tenant, id)
	if err != nil {
		return err
	}
	var u User
	if err := tx.readUser(ctx, c, id, &u, false, tx.pool.dialect.forDelete); err != nil {
		return err
	}
	if err := allowed(u); err != nil {
		return err
	}
	tx.shutOutEvenIfLast(id)
	if err := tx.guardOwner(ctx, id); err != nil {
		return err
	}
	// Until the lock was had, another may have added the user to one more group.
	touched, err := tx.touchGroups(ctx, c.Tenant, `SELECT group_id FROM members WHERE tenant_id = ? AND user_id = ?`, id)
	if err != nil {
		return err
	}
	changeID := tx.log(UserDeleted, u.subject(c), map[string]int{"groups": touched})
	if err := tx.shutOut(ctx, id, UserDeleted); err != nil {
		return err
	}
	if _, err := tx.endMembers(ctx, changeID, `tenant_id = ? AND user_id = ?`, c.Tenant, id); err != nil {
		return err
	}
	tx.endUser(c, u, later(tx.now, u.ModifiedAt), changeID)
	tx.resize(c, "user", 0, 1)
	tx.later(`DELETE FROM identities WHERE tenant_id = ? AND user_id = ?`, c.Tenant, id)
	tx.later(`DELETE FROM passkeys WHERE tenant_id = ? AND user_id = ?`, c.Tenant, id)
	tx.later(`DELETE FROM user_emails WHERE tenant_id = ? AND user_id = ?`, c.Tenant, id)
	tx.setWords(c, id, u, User{})
	tx.later(`DELETE FROM views WHERE tenant_id = ? AND user_id = ?`, c.Tenant, id)
	tx.later(`DELETE FROM drafts WHERE tenant_id = ? AND user_id = ?`, c.Tenant, id)
	tx.later(`DELETE FROM visits WHERE tenant_id = ? AND user_id = ?`, c.Tenant, id)
	if _, err := tx.exec(ctx, `DELETE FROM users WHERE tenant_id = ? AND id = ?`, c.Tenant, id); err != nil {
		return fmt.Errorf("user %s: %w", id, err)
	}
	return nil
}

// endUser keeps what a user was until now.
func (tx *Tx) endUser(c ConnectionRef, u User, until Instant, change ChangeID) {
	tx.insert(`users_past (tenant_id, id, version, connection_id, user_name, external_id, display_name, active, doc, valid_from, valid_until, change_id)`,
		c.Tenant, u.ID, u.Version, c.ID, u.UserName, u.ExternalID, u.DisplayName,
		u.Active, string(u.Doc), u.ModifiedAt, until, change)
}

// setEmails makes the addresses that a user is found by those of u.Emails.
func (tx *Tx) setEmails(ctx context.Context, c ConnectionRef, u User) error {
	var have, want []string
	if u.Version > 1 {
		err := tx.list(ctx, &have, `SELECT value_key FROM user_emails WHERE tenant_id = ? AND user_id = ?`, c.Tenant, u.ID)
		if err != nil {
			return err
		}
	}
	for _, e := range u.Emails {
		want = append(want, Fold(e))
	}
	slices.Sort(want)
	for _, e := range slices.Compact(want) {
		if i := slices.Index(have, e); i >= 0 {
			have = slices.Delete(have, i, i+1)
			continue
		}
		tx.insert(`user_emails (tenant_id, connection_id, value_key, user_id)`, c.Tenant, c.ID, e, u.ID)
	}
	for _, e := range have {
		tx.later(`DELETE FROM user_emails WHERE tenant_id = ? AND user_id = ? AND value_key = ?`, c.Tenant, u.ID, e)
	}
	return nil
}

func (u User) subject(c ConnectionRef) subject {
	return subject{kind: "user", id: string(u.ID), name: u.UserName, connection: c.ID}
}

// check finds names that would not fit into an index, and a missing document:
// PostgreSQL would refuse it, and SQLite fail in every search from then on.
func (u User) check() error {
	if len(u.Doc) == 0 || len(u.Search) == 0 {
		return fmt.Errorf("user %q without a document", u.UserName)
	}
	keys := map[string]string{"userName": Fold(u.UserName), "externalId": u.ExternalID, "displayName": Fold(u.DisplayName)}
	for _, e := range u.Emails {
		if len(Fold(e)) > len(keys["emails.value"]) {
			keys["emails.value"] = Fold(e)
		}
	}
	return checkKeys(keys)
}

func checkKeys(keys map[string]string) error {
	for name, key := range keys {
		if len(key) > maxKey {
			return fmt.Errorf("%s of %d bytes: %w", name, len(key), ErrTooLong)
		}
	}
	return nil
}

// own refuses a connection of another tenant than the actor's.
func (tx *Tx) own(c ConnectionRef) error {
	if c.Tenant != tx.actor.Tenant {
		return errors.New("a connection of another tenant")
	}
	return nil
}

// later is the later of two instants: time never runs backwards in history,
// even when the clocks of two replicas disagree.
func later(a, b Instant) Instant {
	if a.Before(b.Time) {
		return b
	}
	return a
}
