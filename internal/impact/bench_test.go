package impact_test

import (
	"fmt"
	"testing"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

// BenchmarkLook is the preview of a mapping of a group of so many, whose people
// are each in five more groups, of which three are mapped already.
//
//	go test ./internal/impact -run XXX -bench Look -benchtime 5x
func BenchmarkLook(b *testing.B) {
	for name, url := range map[string]func() string{"sqlite": func() string { return sqliteURL(b) }, "postgres": func() string { return migrated.URL(b) }} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, url())
			w.crowd(b, 20_000)
			for _, n := range []int{5_000, 20_000} {
				g := w.mapping(fmt.Sprintf("crowd of %d", n), "planner", "utrecht", "be")
				add := impact.Proposal{Add: []access.Grant{g}}
				b.Run(fmt.Sprintf("gain/%d", n), func(b *testing.B) { w.bench(b, add, access.Gains, n) })
				made := w.must(b, "sam", add)
				b.Run(fmt.Sprintf("lose/%d", n), func(b *testing.B) { w.bench(b, impact.Proposal{End: made.Grants}, access.Loses, n) })
				w.must(b, "sam", impact.Proposal{End: made.Grants})
			}
		})
	}
}

func (w *world) bench(b *testing.B, p impact.Proposal, kind access.DifferenceKind, n int) {
	b.ReportAllocs()
	for b.Loop() {
		if look := w.look(b, "sam", p); look.Counts[kind] != n {
			b.Fatalf("%v, want %d", look.Counts, n)
		}
	}
}

// crowd makes so many people in groups.
func (w *world) crowd(b *testing.B, n int) {
	b.Helper()
	ids := make([]store.MemberID, 0, n)
	for len(ids) < n {
		w.write(b, func(tx *store.Tx) error {
			some := ids
			for range 1_000 {
				name := fmt.Sprintf("guard %05d", len(some))
				u, err := tx.CreateUser(b.Context(), w.ref, store.User{UserName: name, DisplayName: name, Active: true, Doc: []byte(`{}`), Search: []byte(`{}`)})
				if err != nil {
					return err
				}
				some = append(some, store.MemberID(u.ID))
			}
			ids = some
			return nil
		})
	}
	group := func(name string, members []store.MemberID) {
		w.group(b, name)
		for len(members) > 0 {
			some := members[:min(2_000, len(members))]
			members = members[len(some):]
			w.join(b, name, some...)
		}
	}
	group("crowd of 5000", ids[:5_000])
	group("crowd of 20000", ids)
	const each = 500
	for i := range 5 * n / each {
		// Every person is in five of them, of other sizes than the last block's.
		var some []store.MemberID
		for j := range each {
			some = append(some, ids[(i*each+j*(1+i/(n/each)))%n])
		}
		name := fmt.Sprintf("shift %03d", i)
		group(name, some)
		if i%5 < 3 {
			g := w.mapping(name, "viewer", "breda")
			g.Permission, g.Level, g.Role = "salary", "view", ""
			w.write(b, func(tx *store.Tx) error {
				_, err := tx.AddGrants(b.Context(), g)
				return err
			})
		}
	}
}
