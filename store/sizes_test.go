package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse/store"
)

// TestDeepPages reads pages anywhere in a list, also after others have deleted
// from it, and finds them where a walk from the start does.
func TestDeepPages(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		// Positions are remembered of ids that are old enough to stand still.
		p := acme(t, open(t, url, store.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }}))
		elsewhere := open(t, url, store.Options{})
		const people = 3300
		p.write(t, func(tx *store.Tx) error {
			for i := range people {
				if _, err := tx.CreateUser(t.Context(), p.ref, person(fmt.Sprintf("user%d", i), true)); err != nil {
					return err
				}
			}
			return nil
		})
		walk := func() (ids []store.UserID) {
			for {
				after := ""
				if len(ids) > 0 {
					after = string(ids[len(ids)-1])
				}
				page, _, err := p.Users(t.Context(), p.ref, store.Query{After: after, Limit: 500})
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					return ids
				}
				for _, u := range page {
					ids = append(ids, u.ID)
				}
			}
		}
		check := func(why string) {
			t.Helper()
			want := walk()
			for _, offset := range []int{0, 999, 1000, 1001, 2000, 2500, 2999, 3000, 3298, 3299, 3300, 10_000} {
				page, total, err := p.Users(t.Context(), p.ref, store.Query{Offset: offset, Limit: 3, Count: true})
				if err != nil || total != len(want) {
					t.Errorf("%s, offset %d: got a total of %d, %v, want %d", why, offset, total, err, len(want))
				}
				var got []store.UserID
				for _, u := range page {
					got = append(got, u.ID)
				}
				from := min(offset, len(want))
				if exp := want[from:min(from+3, len(want))]; !slices.Equal(got, exp) {
					t.Errorf("%s, offset %d: got %v, want %v", why, offset, got, exp)
				}
			}
		}
		check("at first")
		ids := walk()
		remove := func(s *store.Store, id store.UserID) {
			t.Helper()
			if err := s.Write(t.Context(), p.actor, func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), p.ref, id) }); err != nil {
				t.Fatal(err)
			}
		}
		remove(p.Store, ids[1500])
		check("one gone")
		remove(elsewhere, ids[0])
		check("another gone, by another process")
		clean(t, p.Store)
	})
}
