package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The log is sealed behind its writers, so that none of them waits for another:
// every few seconds what is new goes under a seal, which covers the hash of each
// change and the seal before it. Whoever changes, removes, inserts or moves what
// is sealed breaks the chain (see CheckLog), and whoever makes the whole chain
// anew has other hashes than those that were noted elsewhere, such as in the
// server's log. docs/audit.md has the bytes, for those who check an export.

// Seal is a link of the chain over a tenant's log.
type Seal struct {
	TenantID TenantID `db:"tenant_id"`
	// Seq counts a tenant's seals from 1.
	Seq int64 `db:"seq"`
	// Cursor is behind the last change covered, for ChangesSince.
	Cursor string `db:"cursor"`
	// Changes is how many are covered.
	Changes int `db:"changes"`
	// Previous is the hash of the seal before, empty in the first one.
	Previous []byte `db:"previous"`
	// Covers is, for each change, its id (16 bytes) and its hash (32).
	Covers   []byte  `db:"covers"`
	Hash     []byte  `db:"hash"`
	SealedAt Instant `db:"sealed_at"`
}

const sealColumns = `tenant_id, seq, cursor, changes, previous, covers, hash, sealed_at`

// HashOf is the hash of a change as a seal covers it: the SHA-256 of its values.
func HashOf(c Change) [sha256.Size]byte {
	return sha256.Sum256(netstrings(string(c.TenantID), string(c.ID), strconv.FormatInt(c.At.UnixMilli(), 10),
		c.ActorKind, c.ActorID, c.RequestID, string(c.ConnectionID), c.Action, c.SubjectKind, c.SubjectID, c.SubjectName, c.Detail))
}

// computed is the hash that a seal must have.
func (s Seal) computed() [sha256.Size]byte {
	return sha256.Sum256(netstrings(string(s.TenantID), strconv.FormatInt(s.Seq, 10), strconv.Itoa(s.Changes),
		strconv.FormatInt(s.SealedAt.UnixMilli(), 10), string(s.Previous), string(s.Covers)))
}

// netstrings writes texts so that no two lists of texts are the same bytes: the
// length in bytes, a colon, the text, a comma.
func netstrings(texts ...string) []byte {
	var b []byte
	for _, t := range texts {
		b = append(strconv.AppendInt(b, int64(len(t)), 10), ':')
		b = append(append(b, t...), ',')
	}
	return b
}

// coverSize is the length of an entry of Covers.
const coverSize = len(uuid.UUID{}) + sha256.Size

// cover is the entry of a change.
func cover(c Change) ([]byte, error) {
	id, err := uuid.Parse(string(c.ID))
	if err != nil {
		return nil, fmt.Errorf("change %q: %w", c.ID, err)
	}
	hash := HashOf(c)
	return append(id[:], hash[:]...), nil
}

// lastSeal is the newest seal of a tenant without what it covers; the zero Seal if
// there is none.
func (r reader) lastSeal(ctx context.Context, tenant TenantID) (Seal, error) {
	var last Seal
	err := r.get(ctx, &last, `SELECT tenant_id, seq, cursor, changes, previous, hash, sealed_at FROM seals WHERE tenant_id = ? ORDER BY seq DESC LIMIT 1`, tenant)
	if errors.Is(err, ErrNotFound) {
		return Seal{TenantID: tenant}, nil
	}
	return last, err
}

// maxSealed bounds the changes under one seal.
const maxSealed = 1000

// Seal puts a seal on what is new in a tenant's log, at most a thousand changes of
// it, and gives it: one that covers nothing, and isn't kept, when there was nothing
// new. ErrStale says that another process sealed it.
func (s *Store) Seal(ctx context.Context, tenant TenantID) (Seal, error) {
	last, err := s.lastSeal(ctx, tenant)
	if err != nil {
		return Seal{}, fmt.Errorf("seal of tenant %s: %w", tenant, err)
	}
	return s.sealBehind(ctx, last, last.Cursor)
}

// sealBehind seals what is behind a cursor, before which all is sealed.
func (s *Store) sealBehind(ctx context.Context, last Seal, cursor string) (Seal, error) {
	next := Seal{TenantID: last.TenantID, Seq: last.Seq + 1, Previous: last.Hash}
	if next.Previous == nil {
		next.Previous = []byte{}
	}
	changes, behind, err := s.ChangesSince(ctx, last.TenantID, cursor, maxSealed)
	if err != nil {
		return next, fmt.Errorf("seal of tenant %s: %w", last.TenantID, err)
	}
	next.Cursor, next.Changes = behind, len(changes)
	if len(changes) == 0 {
		return next, nil
	}
	for _, c := range changes {
		entry, err := cover(c)
		if err != nil {
			return next, err
		}
		next.Covers = append(next.Covers, entry...)
	}
	err = s.Write(ctx, Actor{Tenant: last.TenantID, Kind: ActorSystem, ID: "seals"}, func(tx *Tx) error {
		next.SealedAt = tx.now
		hash := next.computed()
		next.Hash = hash[:]
		n, err := tx.exec(ctx, `INSERT INTO seals (`+sealColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			next.TenantID, next.Seq, next.Cursor, next.Changes, next.Previous, next.Covers, next.Hash, next.SealedAt)
		if err == nil && n == 0 {
			err = ErrStale
		}
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `INSERT INTO seal_heads (tenant_id, seq, hash) VALUES (?, ?, ?)
			ON CONFLICT (tenant_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash`, next.TenantID, next.Seq, next.Hash)
		return err
	})
	if err != nil {
		return next, fmt.Errorf("seal %d of tenant %s: %w", next.Seq, next.TenantID, err)
	}
	return next, nil
}

// KeepSealed seals the logs of all tenants at that interval, and checks a little of
// what was sealed before, until ctx ends. Any number of processes may do so: each
// seal is put by one of them. The hashes go to log, which is worth keeping
// elsewhere: whoever makes the chain in the database anew can't change them there.
func (s *Store) KeepSealed(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	walked := map[TenantID]string{} // there is nothing new before it
	for turn := 0; ; turn++ {
		tenants, err := s.Tenants(ctx)
		for _, t := range tenants {
			if err == nil {
				err = s.sealAll(ctx, t, walked, log)
			}
		}
		if err == nil && len(tenants) > 0 {
			err = s.checkOn(ctx, tenants[turn%len(tenants)], log)
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("the log can't be sealed just now", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sealAll seals until there is nothing new.
func (s *Store) sealAll(ctx context.Context, t Tenant, walked map[TenantID]string, log *slog.Logger) error {
	for ctx.Err() == nil {
		last, err := s.lastSeal(ctx, t.ID)
		if err != nil {
			return err
		}
		from := last.Cursor
		if compareCursors(from, walked[t.ID]) < 0 {
			from = walked[t.ID] // other tenants' changes are not walked over again
		}
		next, err := s.sealBehind(ctx, last, from)
		if errors.Is(err, ErrStale) {
			continue
		}
		if err != nil {
			return err
		}
		if next.Changes == 0 {
			walked[t.ID] = next.Cursor
			return nil
		}
		log.Info("sealed", "tenant", t.Name, "seal", next.Seq, "changes", next.Changes, "hash", hex.EncodeToString(next.Hash))
	}
	return nil
}

// compareCursors orders two cursors of one database; the empty one is the first.
func compareCursors(a, b string) int {
	aSeq, aID, _ := strings.Cut(a, ".")
	bSeq, bID, _ := strings.Cut(b, ".")
	m, _ := strconv.ParseUint(aSeq, 10, 64)
	n, _ := strconv.ParseUint(bSeq, 10, 64)
	return cmp.Or(cmp.Compare(m, n), cmp.Compare(aID, bID))
}
