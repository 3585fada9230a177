package store_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/store"
)

// people adds people, each in a write of her own, and seals between them.
func (p place) people(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.CreateUser(t.Context(), p.ref, person(name, true))
			return err
		})
	}
}

// seal puts a seal on all that there is.
func (p place) seal(t *testing.T) store.Seal {
	t.Helper()
	all, err := p.Changes(t.Context(), p.ref.Tenant, 1000)
	if err != nil {
		t.Fatal(err)
	}
	// Transactions of other tests on the same server hold changes back for a while.
	for end := time.Now().Add(2 * time.Minute); ; {
		settled, _, err := p.ChangesSince(t.Context(), p.ref.Tenant, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(settled) == len(all) || time.Now().After(end) {
			break
		}
	}
	s, err := p.Seal(t.Context(), p.ref.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p place) check(t *testing.T) store.LogCheck {
	t.Helper()
	c, err := p.CheckLog(t.Context(), p.ref.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// unguard takes away what refuses changes of the log, as somebody with all rights can.
func unguard(t *testing.T, db *sql.DB, url string) {
	t.Helper()
	if isSQLite(url) {
		for _, trigger := range column(t, db, `SELECT name FROM sqlite_master WHERE type = 'trigger'`) {
			mustExec(t, db, `DROP TRIGGER `+trigger)
		}
		return
	}
	mustExec(t, db, `ALTER TABLE changes DISABLE TRIGGER USER`, `ALTER TABLE seals DISABLE TRIGGER USER`)
}

func TestTamperingIsFound(t *testing.T) {
	// Two seals: ann and bob, cat and dan; eve is not sealed yet.
	cases := []struct {
		why, damage string
		sqlite      string // where it differs
		want        []string
	}{
		{why: "nothing was done", damage: `SELECT 1`},
		{why: "another did it", damage: `UPDATE changes SET actor_id = 'mallory' WHERE subject_name = 'ann'`, want: []string{store.ChangeAltered}},
		{why: "it was at another time", damage: `UPDATE changes SET at = at - 1 WHERE subject_name = 'bob'`, want: []string{store.ChangeAltered}},
		{why: "something else was done", damage: `UPDATE changes SET action = 'user.updated' WHERE subject_name = 'cat'`, want: []string{store.ChangeAltered}},
		{why: "a text moved into the next column", damage: `UPDATE changes SET subject_name = 'n', subject_kind = 'usera' WHERE subject_name = 'ann'`, want: []string{store.ChangeAltered}},
		{why: "the detail says something else", damage: `UPDATE changes SET detail = '{}' WHERE subject_name = 'dan'`, want: []string{store.ChangeAltered}},
		{why: "the connection is gone from it", damage: `UPDATE changes SET connection_id = NULL WHERE subject_name = 'ann'`, want: []string{store.ChangeAltered}},
		{why: "one is gone from the middle", damage: `DELETE FROM changes WHERE subject_name = 'bob'`, want: []string{store.ChangeMissing}},
		{why: "the last sealed ones are gone", damage: `DELETE FROM changes WHERE subject_name IN ('cat', 'dan', 'eve')`, want: []string{store.ChangeMissing, store.ChangeMissing}},
		{why: "all are gone", damage: `DELETE FROM changes WHERE action = 'user.created'`, want: []string{store.ChangeMissing, store.ChangeMissing, store.ChangeMissing, store.ChangeMissing}},
		{why: "one was put among them", want: []string{store.ChangeInserted},
			damage: `INSERT INTO changes (tenant_id, id, at, actor_kind, actor_id, request_id, connection_id, action, subject_kind, subject_id, subject_name, detail, xid)
				SELECT tenant_id, '01a00000-0000-7000-8000-000000000000', at, actor_kind, actor_id, request_id, connection_id, action, subject_kind, subject_id, 'mallory', detail, xid
				FROM changes WHERE subject_name = 'ann'`,
			sqlite: `DELETE FROM changes WHERE subject_name = 'eve';
				INSERT INTO changes (seq, tenant_id, id, at, actor_kind, actor_id, request_id, connection_id, action, subject_kind, subject_id, subject_name, detail)
				SELECT -1, tenant_id, '01a00000-0000-7000-8000-000000000000', at, actor_kind, actor_id, request_id, connection_id, action, subject_kind, subject_id, 'mallory', detail
				FROM changes WHERE subject_name = 'ann'`},
		{why: "two changed places", want: []string{store.ChangeMoved, store.ChangeMoved},
			damage: `UPDATE changes SET xid = CASE subject_name WHEN 'ann' THEN (SELECT xid FROM changes WHERE subject_name = 'cat') ELSE (SELECT xid FROM changes WHERE subject_name = 'ann') END WHERE subject_name IN ('ann', 'cat')`,
			sqlite: `UPDATE changes SET seq = -seq WHERE subject_name IN ('ann', 'cat');
				UPDATE changes SET seq = CASE subject_name WHEN 'ann' THEN (SELECT -seq FROM changes WHERE subject_name = 'cat') ELSE (SELECT -seq FROM changes WHERE subject_name = 'ann') END WHERE subject_name = 'ann';
				UPDATE changes SET seq = (SELECT seq - 2 FROM changes WHERE subject_name = 'ann') WHERE subject_name = 'cat'`},
		{why: "one went to the end", damage: `UPDATE changes SET xid = (SELECT xid FROM changes WHERE subject_name = 'eve') WHERE subject_name = 'dan'`,
			sqlite: `UPDATE changes SET seq = 1000 WHERE subject_name = 'dan'`, want: []string{store.ChangeMoved}},
		{why: "the first seal says something else", damage: `UPDATE seals SET sealed_at = sealed_at + 1 WHERE seq = 1`, want: []string{store.SealAltered}},
		{why: "a seal covers fewer", want: []string{store.SealAltered, store.ChangeInserted},
			damage: `UPDATE seals SET changes = changes - 1, covers = substr(covers, 49) WHERE seq = 2`},
		{why: "a seal's hash was made anew for another one", damage: `UPDATE seals SET hash = (SELECT hash FROM seals WHERE seq = 1) WHERE seq = 2`, want: []string{store.SealAltered, store.SealAltered}},
		{why: "the first seal is gone", damage: `DELETE FROM seals WHERE seq = 1`, want: []string{store.SealMissing, store.ChangeInserted, store.ChangeInserted, store.ChangeInserted, store.ChangeInserted}},
		{why: "the last seal is gone", damage: `DELETE FROM seals WHERE seq = 2`, want: []string{store.SealMissing}},
		{why: "the last seal is gone with what it covers", damage: `DELETE FROM seals WHERE seq = 2; DELETE FROM changes WHERE subject_name IN ('cat', 'dan', 'eve')`, want: []string{store.SealMissing}},
		{why: "all seals are gone", damage: `DELETE FROM seals`, want: []string{store.SealMissing}},
		{why: "nobody remembers the last seal", damage: `DELETE FROM seal_heads`, want: []string{store.SealAltered}},
		{why: "the end of the seals was moved behind what isn't sealed", want: []string{store.ChangeInserted},
			damage: `UPDATE seals SET cursor = (SELECT CAST(xid AS text) || '.ffffffff-ffff-ffff-ffff-ffffffffffff' FROM changes WHERE subject_name = 'eve') WHERE seq = 2`,
			sqlite: `UPDATE seals SET cursor = '100' WHERE seq = 2`},
	}
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		p.people(t, "ann", "bob")
		p.seal(t)
		p.people(t, "cat", "dan")
		p.seal(t)
		p.people(t, "eve")
		db := raw(t, url)
		unguard(t, db, url)
		tables := []string{"changes", "seals", "seal_heads"}
		for _, table := range tables {
			mustExec(t, db, `CREATE TABLE sound_`+table+` AS SELECT * FROM `+table)
		}
		for _, c := range cases {
			for _, table := range tables {
				mustExec(t, db, `DELETE FROM `+table, `INSERT INTO `+table+` SELECT * FROM sound_`+table)
			}
			if check := p.check(t); len(check.Breaks) > 0 || check.Seals != 2 || check.Changes != 6 || check.Unsealed != 1 {
				t.Fatalf("before %s: got %+v, want 6 changes under 2 seals, one more, and no breaks", c.why, check)
			}
			damage := c.damage
			if isSQLite(url) && c.sqlite != "" {
				damage = c.sqlite
			}
			mustExec(t, db, damage)
			var got []string
			for _, b := range p.check(t).Breaks {
				got = append(got, b.Kind)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.why, got, c.want)
			}
			if len(c.want) == 0 {
				continue
			}
			findings, err := s.Verify(t.Context())
			if err != nil || !slices.ContainsFunc(findings, func(f store.Finding) bool {
				return f.Check == "the log is as it was sealed" && strings.HasPrefix(f.Detail, "tenant acme: ")
			}) {
				t.Errorf("%s: verify got %v, %v, want it found", c.why, findings, err)
			}
		}
	})
}

// Whoever has the database and knows the format can make all of the chain anew;
// the hash that somebody noted shows it.
func TestAChainMadeAnewHasAnotherHash(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		p.people(t, "ann", "bob")
		noted := hex.EncodeToString(p.seal(t).Hash)
		if got, err := s.SealHash(t.Context(), p.ref.Tenant, 1); err != nil || got != noted {
			t.Fatalf("got %s, %v, want %s", got, err, noted)
		}
		db := raw(t, url)
		unguard(t, db, url)
		mustExec(t, db, `DELETE FROM seals`, `DELETE FROM seal_heads`, `UPDATE changes SET actor_id = 'mallory'`)
		p.seal(t)
		if check := p.check(t); len(check.Breaks) > 0 {
			t.Errorf("got %+v, want no break: it is a whole chain", check)
		}
		if got, err := s.SealHash(t.Context(), p.ref.Tenant, 1); err != nil || got == noted {
			t.Errorf("got %s, %v, want another hash than was noted", got, err)
		}
		if _, err := s.SealHash(t.Context(), p.ref.Tenant, 2); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a seal that isn't there: got %v, want %v", err, store.ErrNotFound)
		}
	})
}

func TestTheLogRefusesChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		p := acme(t, open(t, url, store.Options{}))
		p.people(t, "ann")
		p.seal(t)
		db := raw(t, url)
		statements := []string{`UPDATE changes SET actor_id = 'mallory'`, `DELETE FROM changes`, `UPDATE seals SET hash = hash`, `DELETE FROM seals`}
		if !isSQLite(url) {
			statements = append(statements, `TRUNCATE changes`, `TRUNCATE seals`)
		}
		for _, statement := range statements {
			if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "the log is append-only") {
				t.Errorf("%s: got %v, want it refused", statement, err)
			}
		}
		if check := p.check(t); len(check.Breaks) > 0 || check.Changes != 3 {
			t.Errorf("got %+v, want 3 sealed changes", check)
		}
	})
}

// Two processes seal what many write; each change is under one seal.
func TestTwoSealersMakeOneChain(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		one, two := open(t, url, store.Options{}), open(t, url, store.Options{})
		p, other := acme(t, one), place{}
		other = acmeNamed(t, one, "noise")
		ctx, stop := context.WithCancel(t.Context())
		var sealers, writers sync.WaitGroup
		for _, s := range []*store.Store{one, two} {
			sealers.Go(func() { s.KeepSealed(ctx, time.Millisecond, slog.New(slog.DiscardHandler)) })
		}
		for w := range 4 {
			writers.Go(func() {
				for i := range 25 {
					p.people(t, fmt.Sprintf("p-%d-%d", w, i))
					other.people(t, fmt.Sprintf("p-%d-%d", w, i))
				}
			})
		}
		writers.Wait()
		for _, p := range []place{p, other} {
			for end := time.Now().Add(2 * time.Minute); ; {
				check := p.check(t)
				if len(check.Breaks) > 0 {
					t.Fatalf("got %+v, want no breaks", check.Breaks)
				}
				if check.Unsealed == 0 && check.Changes == 102 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("got %+v, want 102 changes sealed", check)
				}
			}
		}
		stop()
		sealers.Wait()
	})
}

// A restored database counts transactions anew; what was sealed stays so.
func TestSealsSurviveAnotherServer(t *testing.T) {
	t.Parallel()
	url := postgresURL(t)
	s := open(t, url, store.Options{})
	p := acme(t, s)
	p.people(t, "ann", "bob")
	p.seal(t)
	p.people(t, "cat")
	// As if the server had counted further than the next one has.
	mustExec(t, raw(t, url), `UPDATE changes SET xid = CAST(CAST(CAST(xid AS text) AS bigint) + 1000000000 AS text)::xid8`,
		`UPDATE seals SET cursor = CAST(CAST(split_part(cursor, '.', 1) AS bigint) + 1000000000 AS text) || '.' || split_part(cursor, '.', 2)`)
	if check := p.check(t); len(check.Breaks) > 0 || check.Unsealed != 1 {
		t.Fatalf("before: got %+v, want one change not sealed", check)
	}
	if _, err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if check := p.check(t); len(check.Breaks) > 0 || check.Changes != 4 || check.Unsealed != 1 {
		t.Errorf("after: got %+v, want 4 changes sealed and one not", check)
	}
	p.people(t, "dan")
	p.seal(t)
	if check := p.check(t); len(check.Breaks) > 0 || check.Changes != 6 || check.Unsealed != 0 {
		t.Errorf("in the end: got %+v, want 6 changes sealed", check)
	}
	db := raw(t, url)
	unguard(t, db, url)
	mustExec(t, db, `UPDATE changes SET actor_id = 'mallory' WHERE subject_name = 'ann'`)
	if check := p.check(t); len(check.Breaks) != 1 {
		t.Errorf("got %+v, want the altered one found", check)
	}
}

// docs/operate.md tells PostgreSQL's administrators to run the server as a role
// that can't change the log. The statements are taken from there.
func TestTheServersRoleCannotChangeTheLog(t *testing.T) {
	t.Parallel()
	address := postgresURL(t)
	db := raw(t, address)
	doc, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, recipe, _ := strings.Cut(string(doc), "```sql\n")
	recipe, _, found := strings.Cut(recipe, "```")
	if !found {
		t.Fatal("docs/operate.md: want a block of SQL")
	}
	role := fmt.Sprintf("server_%d", time.Now().UnixNano())
	mustExec(t, db, strings.NewReplacer("gatehouse_server", role, "'PASSWORD'", "'pw'").Replace(recipe))
	t.Cleanup(func() { mustExec(t, db, `DROP OWNED BY `+role, `DROP ROLE `+role) })

	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "pw")
	if _, err := store.Migrate(t.Context(), u.String()); err != nil {
		t.Errorf("serve looks whether there is something to migrate: %v", err)
	}
	p := acme(t, open(t, u.String(), store.Options{}))
	p.people(t, "ann")
	p.seal(t)
	if findings, err := p.Verify(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("verify: got %v, %v, want nothing found", findings, err)
	}
	asServer := raw(t, u.String())
	for _, statement := range []string{`UPDATE changes SET actor_id = 'mallory'`, `DELETE FROM changes`, `TRUNCATE changes`, `UPDATE changes SET xid = '5'`,
		`UPDATE seals SET hash = hash`, `DELETE FROM seals`, `ALTER TABLE changes DISABLE TRIGGER USER`, `DROP TRIGGER changes_stay ON changes`} {
		if _, err := asServer.Exec(statement); err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be owner") {
			t.Errorf("%s: got %v, want no permission", statement, err)
		}
	}
}
