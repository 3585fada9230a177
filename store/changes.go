package store

import (
	"context"
	"encoding/json"
	"slices"
)

// Change is a row of the append-only log: what was done to whom, by whom. It is
// written in the transaction that does it, so that there is neither a change
// without a row nor a row without a change.
type Change struct {
	TenantID     TenantID     `db:"tenant_id" json:"tenant"`
	ID           ChangeID     `db:"id" json:"id"`
	At           Instant      `db:"at" json:"at"`
	ActorKind    string       `db:"actor_kind" json:"actor_kind"`
	ActorID      string       `db:"actor_id" json:"actor_id"`
	RequestID    string       `db:"request_id" json:"request_id,omitempty"`
	ConnectionID ConnectionID `db:"connection_id" json:"connection,omitempty"`
	Action       string       `db:"action" json:"action"`
	SubjectKind  string       `db:"subject_kind" json:"subject_kind"`
	SubjectID    string       `db:"subject_id" json:"subject_id"`
	SubjectName  string       `db:"subject_name" json:"subject_name"`
	// Detail is a JSON object with what the action says, such as
	// {"added":2,"removed":1}; {} when there is nothing to add.
	Detail string `db:"detail" json:"detail"`
}

// The actions of the log.
const (
	TenantCreated      = "tenant.created"
	ConnectionCreated  = "connection.created"
	ConnectionRenamed  = "connection.renamed"
	ConnectionEnded    = "connection.ended"
	TokenCreated       = "token.created"
	TokenRevoked       = "token.revoked"
	KeyCreated         = "key.created"
	KeyRevoked         = "key.revoked"
	ClientCreated      = "client.created"
	ClientRevoked      = "client.revoked"
	SecretCreated      = "client.secret.created"
	SecretRevoked      = "client.secret.revoked"
	FederationCreated  = "client.federation.created"
	FederationRevoked  = "client.federation.revoked"
	AccessTokenCreated = "access_token.created"
	UserCreated        = "user.created"
	UserUpdated        = "user.updated"
	UserActivated      = "user.activated"
	UserDeactivated    = "user.deactivated"
	UserDeleted        = "user.deleted"
	GroupCreated       = "group.created"
	GroupUpdated       = "group.updated"
	GroupDeleted       = "group.deleted"
	MembersChanged     = "group.members"
)

// Actions gives all actions of the log, for whoever lets people choose from them.
func Actions() []string {
	return []string{
		TenantCreated, ConnectionCreated, ConnectionRenamed, ConnectionEnded, SetupLinkCreated, SetupLinkRevoked, TokenCreated, TokenRevoked, KeyCreated, KeyRevoked,
		ClientCreated, ClientRevoked, SecretCreated, SecretRevoked, FederationCreated, FederationRevoked, AccessTokenCreated,
		UserCreated, UserUpdated, UserActivated, UserDeactivated, UserDeleted,
		GroupCreated, GroupUpdated, GroupDeleted, MembersChanged,
		PersonLoginBlocked, PersonLoginAllowed, PersonExpiryChanged, PersonChanged,
		SessionCreated, SessionEnded, IdentityLinked, IdentityUnlinked, ProviderSet, ProviderRemoved, SignInRefused, AccessRefused,
		SetupCreated, SetupUsed, BreakGlassCreated, BreakGlassUsed,
		InvitationWasCreated, InvitationWasSentAgain, InvitationWasAccepted, InvitationWasWithdrawn, InvitationWasLocked,
		PasskeyAdded, PasskeyRenamed, PasskeyRemoved, PasskeyRefused,
		DimensionCreated, DimensionChanged, DimensionRemoved, SiteCreated, SiteChanged, SiteMoved, SiteArchived, SiteRestored,
		ProductCreated, ProductChanged, ProductRemoved, GrantCreated, GrantChanged, GrantEnded, GrantSleeping, GrantRelinked,
		ProposalSaved, ReviewOpened, ReviewKept, ReviewRemoved, ReviewFinished, ReviewWithdrawn,
		WebhookCreated, WebhookRotated, WebhookDisabled, WebhookEnabled, WebhookRemoved,
	}
}

// subject is what a change is about.
type subject struct {
	kind       string
	id         string
	name       string
	connection ConnectionID
}

// log adds a change to those that Write records at the end of the transaction,
// and gives its id for the rows that refer to it.
func (tx *Tx) log(action string, s subject, detail any) ChangeID {
	id := ChangeID(newID())
	tx.logAs(id, action, s, detail)
	return id
}

// logAs is log for a change whose id is in use already.
func (tx *Tx) logAs(id ChangeID, action string, s subject, detail any) {
	text := []byte("{}")
	if detail != nil {
		text, _ = json.Marshal(detail)
	}
	tx.changes = append(tx.changes, Change{
		TenantID:     tx.actor.Tenant,
		ID:           id,
		At:           tx.now,
		ActorKind:    tx.actor.Kind,
		ActorID:      tx.actor.ID,
		RequestID:    tx.actor.RequestID,
		ConnectionID: s.connection,
		Action:       action,
		SubjectKind:  s.kind,
		SubjectID:    s.id,
		SubjectName:  s.name,
		Detail:       string(text),
	})
}

const changeColumns = `changes (tenant_id, id, at, actor_kind, actor_id, request_id, connection_id,
	action, subject_kind, subject_id, subject_name, detail)`

// record leaves the changes of the transaction to be written with what else
// waits, and on an open transaction writes all of it.
func (tx *Tx) record(ctx context.Context) error {
	for _, c := range tx.changes {
		var connection any
		if c.ConnectionID != "" {
			connection = c.ConnectionID
		}
		tx.insert(changeColumns, c.TenantID, c.ID, c.At, c.ActorKind, c.ActorID, c.RequestID, connection,
			c.Action, c.SubjectKind, c.SubjectID, c.SubjectName, c.Detail)
		tx.lastChange = c.ID
	}
	tx.changes = nil
	if tx.work.tx == nil && !slices.ContainsFunc(tx.waiting, func(st statement) bool { return st.width == 0 }) {
		return tx.failed
	}
	for _, st := range tx.store.sizeStatements(tx.sizes, tx.work.slot) {
		tx.wait(st)
	}
	tx.sizes = nil
	if tx.work.tx == nil {
		return tx.work.ready(ctx)
	}
	return tx.flush(ctx)
}

const changeSelection = `tenant_id, id, at, actor_kind, actor_id, request_id,
	COALESCE(CAST(connection_id AS text), '') AS connection_id,
	action, subject_kind, subject_id, subject_name, detail`

// Changes gives the newest changes of a tenant, newest first, at most limit.
func (r reader) Changes(ctx context.Context, tenant TenantID, limit int) ([]Change, error) {
	var changes []Change
	err := r.list(ctx, &changes, `SELECT `+changeSelection+` FROM changes WHERE tenant_id = ? ORDER BY id DESC LIMIT ?`, tenant, limit)
	return changes, err
}
