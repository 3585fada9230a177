package store

import (
	"context"
	"errors"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// ErrLastOwner says that a change would leave a tenant that has an owner without
// one, at once or on a day that is known already.
var ErrLastOwner = access.ErrLastOwner

// Every transaction that changes policy, and every one that takes away somebody
// who has a grant in the console, holds the lock of the tenant's policy. It looks
// at the owners before its first change and again at its end, so that of two that
// remove the last two owners one sees what the other did. Everything else that
// can happen to an owner happens through grants to groups, and in the console
// there are none that take away (see Tx.AddGrants).

// watchOwners notes who the owners are before anything is changed.
func (tx *Tx) watchOwners(ctx context.Context) error {
	facts, err := tx.candidates(ctx, tx.edit.policy)
	tx.owners = access.State{Facts: facts, Policy: tx.edit.policy}
	return err
}

// keepOwners is ErrLastOwner if the transaction leaves no owner.
func (tx *Tx) keepOwners(ctx context.Context) error {
	facts, err := tx.candidates(ctx, tx.edit.policy)
	if err != nil {
		return err
	}
	tx.owners.At = tx.now.Time
	return access.KeepsOwner(tx.owners, access.State{Facts: facts, Policy: tx.edit.policy, At: tx.now.Time})
}

// candidates are those who might be owners, as the transaction sees them.
func (tx *Tx) candidates(ctx context.Context, p *access.Policy) (access.Facts, error) {
	facts := access.Facts{People: map[access.UserID]access.Person{}}
	var ids []string
	for _, id := range p.OwnerCandidates() {
		ids = append(ids, string(id))
	}
	if len(ids) == 0 {
		return facts, nil
	}
	err := tx.each(ctx, func(rows *sqlx.Rows) error {
		var p access.Person
		err := rows.Scan(&p.ID, &p.Active, readPerson{&p})
		facts.People[p.ID] = p
		return err
	}, `SELECT u.id, u.active, `+personColumn+` FROM users u
		WHERE u.tenant_id = ? AND u.id IN (`+tx.pool.dialect.ids+`)`, tx.actor.Tenant, tx.pool.dialect.idList(ids))
	return facts, err
}

const guardQuery = `SELECT id FROM grants WHERE tenant_id = ? AND user_id = ? AND product = 'console' LIMIT 1`

// guardOwner comes before a change that takes somebody away, once her row is
// locked: for whoever has a grant in the console, the end of the transaction will
// see to it that an owner is left. For everybody else it is one look into an index.
func (tx *Tx) guardOwner(ctx context.Context, user UserID) error {
	if tx.edit != nil {
		return nil
	}
	var grant access.GrantID
	err := tx.row(ctx, []any{&grant}, guardQuery, tx.actor.Tenant, user)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		_, err = tx.lockPolicy(ctx)
	}
	return err
}
