package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/store"
)

var errMatch = errors.New("precondition failed")

// edit is a change of a group's members or name, and what was answered.
type edit struct {
	group  store.GroupID
	delta  store.MemberDelta
	rename string
	match  int64 // If-Match; 0 for none

	seen int64
	got  store.Group
	res  store.MembersResult
	err  error
}

func (e *edit) change(g store.Group) (store.Group, store.MemberDelta, error) {
	e.seen = g.Version
	if e.match > 0 && e.match != g.Version {
		return g, store.MemberDelta{}, errMatch
	}
	if e.rename != "" {
		named := team(e.rename)
		g.DisplayName, g.Doc, g.Search = named.DisplayName, named.Doc, named.Search
	}
	return g, e.delta, nil
}

// apply does the same to a set of members.
func (e *edit) apply(before map[store.MemberID]bool) (after map[store.MemberID]bool, added, removed int) {
	after = map[store.MemberID]bool{}
	for id := range before {
		if e.delta.Replace && !slices.Contains(e.delta.Add, id) || slices.Contains(e.delta.Remove, id) {
			removed++
		} else {
			after[id] = true
		}
	}
	for _, id := range e.delta.Add {
		if !after[id] {
			after[id] = true
			added++
		}
	}
	return after, added, removed
}

// TestAnswersAreTheLog has many change few groups at the same time by two servers, on
// PostgreSQL also while connections die. The log, done again one by one, comes to what
// each was answered and to what is there at the end.
func TestAnswersAreTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		for _, dying := range []bool{false, true} {
			if dying && isSQLite(url) {
				continue // it has no connections to die
			}
			t.Run(fmt.Sprintf("dying=%v", dying), func(t *testing.T) {
				answersAreTheLog(t, url, fmt.Sprintf("acme%v", dying), dying)
			})
		}
	})
}

func answersAreTheLog(t *testing.T, url, tenant string, dying bool) {
	ctx, db := t.Context(), raw(t, url)
	servers := []*store.Store{open(t, url, store.Options{}), open(t, url, store.Options{Connections: 3})}
	p := acmeNamed(t, servers[0], tenant)
	ids := p.addSome(t, 10)
	names := map[store.GroupID]string{}
	for _, name := range []string{"crew", "rest"} {
		g, _, err := p.CreateGroup(ctx, p.actor, p.ref, team(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		names[g.ID] = name
	}
	stop := make(chan struct{})
	var killer, all sync.WaitGroup
	if dying {
		killer.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
					_, _ = db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
						WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' ORDER BY random() LIMIT 1`)
				}
			}
		})
	}
	const people, each = 16, 40
	var edits [people * each]edit
	for n := range people {
		all.Go(func() {
			for i := range each {
				e, s := &edits[n*each+i], servers[rand.IntN(2)]
				for id, name := range names { // the crew more often
					if e.group == "" || name == "crew" || rand.IntN(3) == 0 {
						e.group = id
					}
				}
				var some []store.MemberID
				for _, k := range rand.Perm(len(ids))[:4] {
					some = append(some, ids[k])
				}
				switch k := rand.IntN(20); {
				case k < 8:
					e.delta.Add = some[:1+k%3]
				case k < 15:
					e.delta.Remove = some[:1+k%3]
				case k < 17:
					e.delta.Add, e.delta.Remove = some[:2], some[2:]
				case k < 18:
					e.delta = store.MemberDelta{Replace: true, Add: some}
				default:
					e.rename = fmt.Sprintf("name%d", n*each+i)
				}
				if g, err := s.Group(ctx, p.ref, e.group); err == nil && rand.IntN(4) == 0 {
					e.match = g.Version
				}
				as := p.actor
				as.RequestID = fmt.Sprint(n*each + i)
				mine, cancel := ctx, context.CancelFunc(func() {})
				if rand.IntN(8) == 0 {
					mine, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(8000))*time.Microsecond)
				}
				e.got, e.res, e.err = s.UpdateGroup(mine, as, p.ref, e.group, rand.IntN(20) == 0, e.change)
				cancel()
			}
		})
	}
	all.Wait()
	close(stop)
	killer.Wait()

	done := map[string]bool{}
	for id, name := range names {
		// Ids are in the order in which the changes came, since there is one clock.
		type row struct{ Request, Subject, Detail string }
		var rows []row
		for _, line := range column(t, db, fmt.Sprintf(`SELECT request_id || '|' || subject_name || '|' || detail FROM changes
			WHERE subject_id = '%s' AND action <> 'group.created' ORDER BY changes.id`, id)) {
			part := strings.SplitN(line, "|", 3)
			rows = append(rows, row{part[0], part[1], part[2]})
		}
		versions := []map[store.MemberID]bool{nil, {}}
		for _, r := range rows {
			v := int64(len(versions))
			var n int
			if _, err := fmt.Sscan(r.Request, &n); err != nil || done[r.Request] || edits[n].group != id {
				t.Fatalf("the log has %+v twice, or of nobody", r)
			}
			done[r.Request] = true
			e := &edits[n]
			after, added, removed := e.apply(versions[v-1])
			versions = append(versions, after)
			if e.rename != "" {
				name = e.rename
			}
			var told struct{ Added, Removed int }
			if r.Detail != "" {
				if err := json.Unmarshal([]byte(r.Detail), &told); err != nil {
					t.Fatal(err)
				}
			}
			if r.Subject != name || told.Added != added || told.Removed != removed || e.match > 0 && e.match != v-1 {
				t.Errorf("version %d: the log has %+v, want %q, %d and %d, If-Match %d", v, r, name, added, removed, e.match)
			}
			switch {
			case e.err != nil && !errors.Is(e.err, store.ErrUnavailable):
				t.Errorf("version %d: answered %v, and is in the log", v, e.err)
			case e.err == nil && (e.got.Version != v || e.seen != v-1 || e.got.DisplayName != name || e.res.Added != added || e.res.Removed != removed):
				t.Errorf("version %d: answered %q, version %d after %d, %+v, want %q, %d and %d", v, e.got.DisplayName, e.got.Version, e.seen, e.res, name, added, removed)
			}
		}
		for n := range edits {
			e := &edits[n]
			if e.group != id || e.err != nil || done[fmt.Sprint(n)] {
				continue
			}
			if v := e.got.Version; v < 1 || v >= int64(len(versions)) {
				t.Errorf("answered version %d of %d", v, len(versions)-1)
			} else if _, added, removed := e.apply(versions[v]); e.rename != "" || e.res.Changed() || added+removed > 0 {
				t.Errorf("answered %+v of %+v at version %d, and isn't in the log", e.res, e.delta, v)
			}
		}
		last := int64(len(versions) - 1)
		if g, err := open(t, url, store.Options{}).Group(ctx, p.ref, id); err != nil || g.Version != last || g.DisplayName != name {
			t.Errorf("at the end: %q, version %d, %v, want %q, version %d", g.DisplayName, g.Version, err, name, last)
		}
		there := map[store.MemberID]bool{}
		for _, id := range column(t, db, fmt.Sprintf(`SELECT CAST(user_id AS text) FROM members WHERE group_id = '%s'`, id)) {
			there[store.MemberID(id)] = true
		}
		if fmt.Sprint(there) != fmt.Sprint(versions[last]) {
			t.Errorf("at the end: %v, want %v", there, versions[last])
		}
	}
	refused := 0
	for n := range edits {
		if e := &edits[n]; errors.Is(e.err, errMatch) {
			refused++
		} else if e.err != nil && !errors.Is(e.err, store.ErrUnavailable) {
			t.Errorf("got %v, want it done, refused or unavailable", e.err)
		}
	}
	t.Logf("%d changes, %d of them in the log, %d refused", len(edits), len(done), refused)
	if len(done) < len(edits)/4 {
		t.Errorf("%d of %d in the log, want most", len(done), len(edits))
	}
	for range 20 { // connections that died are noticed one by one
		if _, err := p.Verify(ctx); err == nil {
			break
		}
	}
	p.verified(t, "at the end")
}

// TestAnswerLost loses the answer to a change that is done: database/sql sends it again,
// and the change that it finds in its way is its own.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("known=%v", known), func(t *testing.T) {
			direct, ctx := postgresURL(t), t.Context()
			var lose atomic.Bool
			s := open(t, lossy(t, direct, &lose), store.Options{})
			p := acme(t, open(t, direct, store.Options{}))
			ids := p.addSome(t, 4)
			var groups []store.Group
			for _, name := range []string{"crew", "other"} {
				g, _, err := p.CreateGroup(ctx, p.actor, p.ref, team(name), nil)
				if err != nil {
					t.Fatal(err)
				}
				groups = append(groups, g)
			}
			add := func(g store.Group, id store.MemberID, lost bool) (store.Group, store.MembersResult) {
				e := edit{delta: store.MemberDelta{Add: []store.MemberID{id}}, match: g.Version}
				got, res, err := s.UpdateGroup(ctx, p.actor, p.ref, g.ID, false, func(g store.Group) (store.Group, store.MemberDelta, error) {
					if lost {
						lose.Store(true)
					}
					return e.change(g)
				})
				if err != nil {
					t.Fatal(err)
				}
				return got, res
			}
			for _, id := range ids[:3] { // what it takes is prepared by then
				if groups[1], _ = add(groups[1], id, false); known {
					groups[0], _ = add(groups[0], id, false)
				}
				time.Sleep(100 * time.Millisecond)
			}
			got, res := add(groups[0], ids[3], true)
			after, err := p.Group(ctx, p.ref, got.ID)
			if err != nil || lose.Load() || res.Added != 1 || got.Version != groups[0].Version+1 || after.Version != got.Version {
				t.Errorf("got %+v, version %d, there %d, %v, want one added once", res, got.Version, after.Version, err)
			}
		})
	}
}

// lossy is a way to a database on which the next answer is lost when lose is set.
func lossy(t *testing.T, direct string, lose *atomic.Bool) string {
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	q, network, address := u.Query(), "tcp", u.Host
	if dir := q.Get("host"); strings.HasPrefix(dir, "/") {
		network, address = "unix", filepath.Join(dir, ".s.PGSQL."+q.Get("port"))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	pass := func(to, from net.Conn) {
		defer to.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if lose.CompareAndSwap(true, false) {
				from.Close()
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			out, err := net.Dial(network, address)
			if err != nil {
				in.Close()
				continue
			}
			go func() {
				defer out.Close()
				_, _ = io.Copy(out, in)
			}()
			go pass(in, out)
		}
	}()
	q.Del("host")
	q.Del("port")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = l.Addr().String(), q.Encode()
	return u.String()
}

// TestWaitForASlotEnds has a caller wait for a slot that another keeps: it waits no
// longer than it said.
func TestWaitForASlotEnds(t *testing.T) {
	t.Parallel()
	s := open(t, postgresURL(t), store.Options{Connections: 2})
	p, ctx := acme(t, s), t.Context()
	ids := p.addSome(t, 1)
	var groups []store.GroupID
	for _, name := range []string{"crew", "other"} {
		g, _, err := s.CreateGroup(ctx, p.actor, p.ref, team(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g.ID)
	}
	p.write(t, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(ctx, p.ref, groups[0], func(g store.Group) (store.Group, store.MemberDelta, error) {
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			e := edit{delta: store.MemberDelta{Add: ids}}
			if _, _, err := s.UpdateGroup(short, p.actor, p.ref, groups[1], false, e.change); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
			return g, store.MemberDelta{}, nil
		})
		return err
	})
}

// TestFileBehindALink has the URL name a link to a file that is not there yet: it is made
// for nobody else's eyes, like any other.
func TestFileBehindALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "there.db"), filepath.Join(dir, "gatehouse.db")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Migrate(t.Context(), "sqlite://"+link); err != nil {
		t.Fatal(err)
	}
	if at, err := os.Stat(file); err != nil || at.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want 0600", at.Mode(), err)
	}
}
