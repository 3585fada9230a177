package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// LogBreak is a place where a tenant's log is not what was sealed.
type LogBreak struct {
	// Kind is what was done, one of the constants.
	Kind string `json:"kind"`
	// Seal is the one that says so; Until is the last one, where several are missing.
	Seal  int64 `json:"seal"`
	Until int64 `json:"until,omitempty"`
	// Change is the one it is about; empty where it is about seals. At is its time, of
	// a removed one when it was sealed.
	Change ChangeID `json:"change,omitempty"`
	At     Instant  `json:"at"`
}

// The kinds of break.
const (
	ChangeAltered  = "change-altered"  // it says something else than when it was sealed
	ChangeMissing  = "change-missing"  // it was sealed and is gone
	ChangeInserted = "change-inserted" // it stands among what is sealed and wasn't
	ChangeMoved    = "change-moved"    // it stands at another place than when it was sealed
	SealAltered    = "seal-altered"    // the seal is not as it was made, or not of this chain
	SealMissing    = "seal-missing"    // seals are gone
)

// String says it in a line.
func (b LogBreak) String() string {
	switch b.Kind {
	case ChangeAltered:
		return fmt.Sprintf("change %s says something else than when seal %d was put on it", b.Change, b.Seal)
	case ChangeMissing:
		return fmt.Sprintf("change %s is gone, which seal %d covers", b.Change, b.Seal)
	case ChangeInserted:
		return fmt.Sprintf("change %s was put among those that are sealed, up to seal %d", b.Change, b.Seal)
	case ChangeMoved:
		return fmt.Sprintf("change %s is at another place than when seal %d was put on it", b.Change, b.Seal)
	case SealAltered:
		return fmt.Sprintf("seal %d is not as it was made", b.Seal)
	}
	if b.Until > b.Seal {
		return fmt.Sprintf("seals %d to %d are gone", b.Seal, b.Until)
	}
	return fmt.Sprintf("seal %d is gone", b.Seal)
}

// LogCheck is what a check of a tenant's log found.
type LogCheck struct {
	// At is when the check was complete; zero when there was none yet.
	At Instant `json:"at"`
	// Seals and Changes are how many there are under them.
	Seals   int64 `json:"seals"`
	Changes int64 `json:"changes"`
	// Hash is that of the last seal, in hexadecimal digits: note it elsewhere, and it
	// proves all that was there (see SealHash). Empty when nothing is sealed.
	Hash string `json:"hash"`
	// Unsealed are newer changes, which the next seal covers.
	Unsealed int64 `json:"unsealed"`
	// Breaks are where the log is not what was sealed, at most maxFindings.
	Breaks []LogBreak `json:"breaks"`
}

// sealWalk is a check under way.
type sealWalk struct {
	tenant TenantID
	last   Seal
	// place is where the last change was, as a cursor.
	place string
	// covered and present are the changes under the seals and those of them that are
	// there.
	covered, present int64
	breaks           []LogBreak
}

func (w *sealWalk) found(b LogBreak) {
	if len(w.breaks) < maxFindings {
		w.breaks = append(w.breaks, b)
	}
}

// CheckLog compares a tenant's log with its seals, from the first to the last.
func (s *Store) CheckLog(ctx context.Context, tenant TenantID) (LogCheck, error) {
	w := &sealWalk{tenant: tenant}
	for {
		check, err := s.checkFurther(ctx, w, sealsAtOnce)
		if err != nil {
			return LogCheck{}, fmt.Errorf("check the log of tenant %s: %w", tenant, err)
		}
		if check != nil {
			s.logChecks.keep(tenant, *check)
			return *check, nil
		}
	}
}

// sealsAtOnce bounds what is read at a time.
const sealsAtOnce = 20

// checkFurther walks over some more seals, and gives the result behind the last.
func (s *Store) checkFurther(ctx context.Context, w *sealWalk, limit int) (check *LogCheck, err error) {
	// In one state of the database, since seals come meanwhile.
	err = s.agree(ctx, func(r reader) error {
		check = nil
		var seals []Seal
		err := r.list(ctx, &seals, `SELECT `+sealColumns+` FROM seals WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?`, w.tenant, w.last.Seq, limit)
		if err != nil {
			return err
		}
		for _, seal := range seals {
			if err := r.walkOver(ctx, w, seal); err != nil {
				return err
			}
		}
		if len(seals) < limit {
			check, err = r.finish(ctx, w, s.now())
		}
		return err
	})
	return check, err
}

// walkOver compares a seal with the one before and with what it covers.
func (r reader) walkOver(ctx context.Context, w *sealWalk, seal Seal) error {
	gap := seal.Seq > w.last.Seq+1
	if gap {
		w.found(LogBreak{Kind: SealMissing, Seal: w.last.Seq + 1, Until: seal.Seq - 1, At: seal.SealedAt})
	}
	hash := seal.computed()
	if !bytes.Equal(seal.Hash, hash[:]) || !gap && !bytes.Equal(seal.Previous, w.last.Hash) || len(seal.Covers) != seal.Changes*coverSize {
		w.found(LogBreak{Kind: SealAltered, Seal: seal.Seq, At: seal.SealedAt})
	}
	w.last = seal
	var ids []string
	for entry := range slices.Chunk(seal.Covers, coverSize) {
		if len(entry) == coverSize {
			ids = append(ids, uuid.UUID(entry[:16]).String())
		}
	}
	rows, err := r.placed(ctx, w.tenant, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		w.covered++
		row, there := rows[ChangeID(id)]
		if !there {
			w.found(LogBreak{Kind: ChangeMissing, Seal: seal.Seq, Change: ChangeID(id), At: seal.SealedAt})
			continue
		}
		w.present++
		hash := HashOf(row.Change)
		if !bytes.Equal(hash[:], seal.Covers[i*coverSize+16:][:len(hash)]) {
			w.found(LogBreak{Kind: ChangeAltered, Seal: seal.Seq, Change: row.ID, At: row.At})
		}
		// After a restore on another server there is no order but the seals'.
		if strings.HasPrefix(seal.Cursor, restoredEnd) {
			continue
		}
		if compareCursors(row.Place, w.place) <= 0 || compareCursors(row.Place, seal.Cursor) > 0 {
			w.found(LogBreak{Kind: ChangeMoved, Seal: seal.Seq, Change: row.ID, At: row.At})
			continue
		}
		w.place = row.Place
	}
	return nil
}

// placedChange is a change with its place in the log.
type placedChange struct {
	Change
	Place string `db:"place"`
}

// place is a change's place in the log as a cursor, and behind is a condition for
// places up to one that is given as two parameters.
func (d *dialect) place() (place, upTo string) {
	if d == sqliteDialect {
		return `CAST(seq AS text) || '.'`, `seq <= CAST(? AS integer) AND ? = ''`
	}
	return `CAST(xid AS text) || '.' || CAST(id AS text)`, `(xid, id) <= (CAST(CAST(? AS text) AS xid8), CAST(? AS uuid))`
}

func (r reader) placed(ctx context.Context, tenant TenantID, ids []string) (map[ChangeID]placedChange, error) {
	place, _ := r.pool.dialect.place()
	var rows []placedChange
	err := r.list(ctx, &rows, `SELECT `+place+` AS place, `+changeSelection+` FROM changes
		WHERE tenant_id = ? AND id IN (`+r.pool.dialect.ids+`)`, tenant, r.pool.dialect.idList(ids))
	all := make(map[ChangeID]placedChange, len(rows))
	for _, row := range rows {
		all[row.ID] = row
	}
	return all, err
}

// finish looks at what the walk can't see: seals missing at the end, and changes
// that no seal covers.
func (r reader) finish(ctx context.Context, w *sealWalk, now time.Time) (*LogCheck, error) {
	var head struct {
		Seq  int64  `db:"seq"`
		Hash []byte `db:"hash"`
	}
	err := r.get(ctx, &head, `SELECT seq, hash FROM seal_heads WHERE tenant_id = ?`, w.tenant)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	switch {
	case head.Seq > w.last.Seq:
		w.found(LogBreak{Kind: SealMissing, Seal: w.last.Seq + 1, Until: head.Seq, At: w.last.SealedAt})
	case head.Seq < w.last.Seq, !bytes.Equal(head.Hash, w.last.Hash):
		w.found(LogBreak{Kind: SealAltered, Seal: w.last.Seq, At: w.last.SealedAt})
	}
	sealed, unsealed, err := r.sides(ctx, w.tenant, w.last.Cursor)
	if err != nil {
		return nil, err
	}
	if sealed > w.present {
		if err := r.findInserted(ctx, w); err != nil {
			return nil, err
		}
	}
	return &LogCheck{At: At(now), Seals: w.last.Seq, Changes: w.covered, Hash: hex.EncodeToString(w.last.Hash), Unsealed: unsealed,
		Breaks: append([]LogBreak{}, w.breaks...)}, nil
}

// sides counts a tenant's changes up to a cursor and behind it.
func (r reader) sides(ctx context.Context, tenant TenantID, cursor string) (before, behind int64, err error) {
	_, upTo := r.pool.dialect.place()
	seq, id := r.cursorParts(cursor)
	var n struct {
		Before int64 `db:"n"`
		All    int64 `db:"total"`
	}
	err = r.get(ctx, &n, `SELECT COUNT(CASE WHEN `+upTo+` THEN 1 END) AS n, COUNT(*) AS total FROM changes WHERE tenant_id = ?`, seq, id, tenant)
	return n.Before, n.All - n.Before, err
}

// cursorParts are the parameters for dialect.place.
func (r reader) cursorParts(cursor string) (seq, id string) {
	if cursor == "" {
		cursor = "0"
	}
	seq, id, _ = strings.Cut(cursor, ".")
	if id == "" && r.pool.dialect != sqliteDialect {
		id = zeroID
	}
	return seq, id
}

// findInserted names the changes that stand before the end of the seals and are
// under none.
func (r reader) findInserted(ctx context.Context, w *sealWalk) error {
	covered := make(map[uuid.UUID]bool, w.covered)
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var covers []byte
		err := rows.Scan(&covers)
		for entry := range slices.Chunk(covers, coverSize) {
			if len(entry) == coverSize {
				covered[uuid.UUID(entry[:16])] = true
			}
		}
		return err
	}, `SELECT covers FROM seals WHERE tenant_id = ?`, w.tenant)
	if err != nil {
		return err
	}
	_, upTo := r.pool.dialect.place()
	seq, id := r.cursorParts(w.last.Cursor)
	return r.each(ctx, func(rows *sqlx.Rows) error {
		var c Change
		if err := rows.Scan(&c.ID, &c.At); err != nil {
			return err
		}
		if parsed, err := uuid.Parse(string(c.ID)); err != nil || !covered[parsed] {
			w.found(LogBreak{Kind: ChangeInserted, Seal: w.last.Seq, Change: c.ID, At: c.At})
		}
		return nil
	}, `SELECT id, at FROM changes WHERE tenant_id = ? AND `+upTo+` ORDER BY id`, w.tenant, seq, id)
}

// SealHash gives the hash of a seal in hexadecimal digits, to be compared with one
// that was noted elsewhere. ErrNotFound when the tenant has no such seal.
func (r reader) SealHash(ctx context.Context, tenant TenantID, seq int64) (string, error) {
	var hash []byte
	err := r.row(ctx, []any{&hash}, `SELECT hash FROM seals WHERE tenant_id = ? AND seq = ?`, tenant, seq)
	if err != nil {
		return "", fmt.Errorf("seal %d: %w", seq, err)
	}
	return hex.EncodeToString(hash), nil
}

// Seals gives a tenant's seals behind one, at most limit: with an export of the
// log they are all that somebody else needs to check it.
func (r reader) Seals(ctx context.Context, tenant TenantID, after int64, limit int) ([]Seal, error) {
	seals := []Seal{}
	err := r.list(ctx, &seals, `SELECT `+sealColumns+` FROM seals WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?`, tenant, after, limit)
	return seals, err
}

// logChecks are the last checks of each tenant, and those under way.
type logChecks struct {
	mu    sync.Mutex
	done  map[TenantID]LogCheck
	walks map[TenantID]*sealWalk // of KeepSealed alone
}

func (c *logChecks) keep(tenant TenantID, check LogCheck) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = map[TenantID]LogCheck{}
	}
	c.done[tenant] = check
}

// LastLogCheck is what this process found when it last checked a tenant's log from
// the first seal to the last. Its At is zero before the first time.
func (s *Store) LastLogCheck(tenant TenantID) LogCheck {
	s.logChecks.mu.Lock()
	defer s.logChecks.mu.Unlock()
	return s.logChecks.done[tenant]
}

// checkRest is how long a log is left alone once it was checked.
const checkRest = 10 * time.Minute

// checkOn goes on with the check of a tenant's log, a few seals at a time.
func (s *Store) checkOn(ctx context.Context, t Tenant, log *slog.Logger) error {
	c := &s.logChecks
	if s.now().Sub(s.LastLogCheck(t.ID).At.Time) < checkRest {
		return nil
	}
	if c.walks == nil {
		c.walks = map[TenantID]*sealWalk{}
	}
	w := c.walks[t.ID]
	if w == nil {
		w = &sealWalk{tenant: t.ID}
		c.walks[t.ID] = w
	}
	check, err := s.checkFurther(ctx, w, 3)
	if err != nil {
		delete(c.walks, t.ID) // half of it may have been counted
		return err
	}
	if check == nil {
		return nil
	}
	delete(c.walks, t.ID)
	for _, b := range check.Breaks {
		log.Error("the log was tampered with", "tenant", t.Name, "what", b.String())
	}
	c.keep(t.ID, *check)
	return nil
}
