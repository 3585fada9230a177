package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// How many users and groups a connection has is counted when they come and go,
// not when somebody asks: counting a million takes longer than the page that says
// there are a million. The count is spread over lanes, one for each writer of a
// process, so that none waits for another to commit; which lane counted what
// doesn't matter.
const sizeLanes = 64

type sizeKey struct {
	tenant     TenantID
	connection ConnectionID
	kind       string // user or group
}

// sizeDelta is how many came and how many went.
type sizeDelta struct{ created, deleted int }

type sizeDeltas map[sizeKey]sizeDelta

func (d *sizeDeltas) merge(more sizeDeltas) {
	if *d == nil {
		*d = sizeDeltas{}
	}
	for key, delta := range more {
		have := (*d)[key]
		(*d)[key] = sizeDelta{have.created + delta.created, have.deleted + delta.deleted}
	}
}

// resize counts what the transaction makes or deletes.
func (tx *Tx) resize(c ConnectionRef, kind string, created, deleted int) {
	tx.sizes.merge(sizeDeltas{{c.Tenant, c.ID, kind}: {created, deleted}})
}

// sizeStatements write what was counted, in the lane of the writer's slot.
func (s *Store) sizeStatements(deltas sizeDeltas, slot int) []statement {
	keys := slices.SortedFunc(maps.Keys(deltas), func(a, b sizeKey) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.connection, b.connection), cmp.Compare(a.kind, b.kind))
	})
	lane := 0
	if s.write.dialect == postgresDialect {
		lane = (s.lane + slot) % sizeLanes
	}
	var all []statement
	for _, key := range keys {
		d := deltas[key]
		all = append(all, statement{query: `INSERT INTO sizes (tenant_id, connection_id, kind, lane, created, deleted) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant_id, connection_id, kind, lane) DO UPDATE SET
				created = sizes.created + EXCLUDED.created, deleted = sizes.deleted + EXCLUDED.deleted`,
			args: []any{key.tenant, key.connection, key.kind, lane, d.created, d.deleted}})
	}
	return all
}

// size is how many there are, and how many have gone: positions in the list
// stand while nothing goes.
func (r reader) size(ctx context.Context, c ConnectionRef, ix index) (n, deleted int, err error) {
	err = r.row(ctx, []any{&n, &deleted}, `SELECT COALESCE(SUM(created - deleted), 0), COALESCE(SUM(deleted), 0)
		FROM sizes WHERE tenant_id = ? AND connection_id = ? AND kind = ?`, c.Tenant, c.ID, ix.kind)
	return n, deleted, err
}

// anchors remember which id stands at which position of a connection's list, so
// that a page deep inside is found without walking over all before it.
type anchors struct {
	mu    sync.Mutex
	lists map[anchorKey]*anchorList
}

type anchorKey struct {
	conn ConnectionRef
	kind string
}

type anchorList struct {
	// deleted is how many had gone when the positions were found.
	deleted int
	ids     []string // of position (i+1) * anchorEvery, counted from 1
}

const (
	anchorEvery = 1000
	// anchorWalk is how many positions one query walks over; each list keeps at most
	// maxAnchors.
	anchorWalk = 100 * anchorEvery
	maxAnchors = 10_000
)

// anchorAge is how old an id has to be to stand still: ids are made before their
// transaction ends, and by clocks that may differ.
const anchorAge = time.Minute

// after finds an id in front of the offset, and how much of the offset is left
// behind it: "" and all of it where none is remembered yet.
func (r reader) after(ctx context.Context, c ConnectionRef, ix index, offset, deleted int) (id string, rest int, err error) {
	a := &r.pool.anchors
	key := anchorKey{c, ix.kind}
	a.mu.Lock()
	list := a.lists[key]
	if list == nil || list.deleted != deleted {
		list = &anchorList{deleted: deleted}
		if a.lists == nil || len(a.lists) >= 1000 {
			a.lists = map[anchorKey]*anchorList{}
		}
		a.lists[key] = list
	}
	ids := list.ids
	a.mu.Unlock()

	want := min(offset/anchorEvery, maxAnchors)
	for len(ids) < want {
		last := zeroID
		if len(ids) > 0 {
			last = ids[len(ids)-1]
		}
		var more []string
		err := r.list(ctx, &more, `SELECT CAST(w.id AS text) FROM (
				SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM `+ix.table+`
				WHERE tenant_id = ? AND connection_id = ? AND id > ? ORDER BY id LIMIT ?) w
			WHERE w.n % ? = 0 ORDER BY w.n`, c.Tenant, c.ID, last, anchorWalk, anchorEvery)
		if err != nil {
			return "", 0, err
		}
		settled := slices.IndexFunc(more, func(id string) bool { return r.pool.now().Sub(madeAt(id)) < anchorAge })
		if settled >= 0 {
			more = more[:settled]
		}
		ids = append(slices.Clip(ids), more...)
		if len(more) < anchorWalk/anchorEvery {
			break
		}
	}
	a.mu.Lock()
	if len(ids) > len(list.ids) {
		list.ids = ids
	}
	a.mu.Unlock()
	n := min(want, len(ids))
	if n == 0 {
		return "", offset, nil
	}
	return ids[n-1], offset - n*anchorEvery, nil
}

// madeAt is when an id was made, to the millisecond (RFC 9562 §5.7).
func madeAt(id string) time.Time {
	u, err := uuid.Parse(id)
	if err != nil {
		return time.Time{}
	}
	ms := int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5])
	return time.UnixMilli(ms)
}
