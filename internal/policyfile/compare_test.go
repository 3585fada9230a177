package policyfile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

// Who lost and who gained between two instants is told by name, those who have gone
// included, of all or of one person, product or site.
func TestCompare(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.mustApply(t, roster+"  wiki: {permissions: [read]}\n")
		site := func(key string) access.Site {
			s, ok := w.state(t).Policy.SiteByKey("site", key)
			if !ok {
				t.Fatalf("no site %s", key)
			}
			return s
		}
		give := func(who access.UserID, keys ...string) access.GrantID {
			g := access.Grant{Subject: access.Grantee{User: who}, Effect: access.Allow, Product: "roster", Role: "viewer",
				Origin: access.OriginDirect, Scope: access.Scope{Everywhere: len(keys) == 0}}
			for _, key := range keys {
				g.Scope.Sites = map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{site(key).ID}}}
			}
			return w.grant(t, g)
		}
		ann, bob, cid, dan, eve := w.user(t, "entra", "ann"), w.user(t, "entra", "bob"), w.user(t, "entra", "cid"), w.user(t, "entra", "dan"), w.user(t, "entra", "eve")
		ends := give(ann, "nl")
		give(bob, "be")
		w.grant(t, access.Grant{Subject: access.Grantee{User: cid}, Effect: access.Allow, Product: "wiki", Permission: "read", Level: "allow",
			Origin: access.OriginDirect, Scope: access.Scope{Everywhere: true}})
		give(dan)

		from := w.at.Add(time.Minute)
		w.at = w.at.Add(time.Hour)
		be := site("be").ID
		w.write(t, func(tx *store.Tx) error {
			if err := tx.EndGrants(ctx, ends); err != nil {
				return err
			}
			if _, err := tx.ChangeSite(ctx, be, func(s access.Site) access.Site { s.Archived = true; return s }); err != nil {
				return err
			}
			return tx.DeleteUser(ctx, w.refs["entra"], store.UserID(cid))
		})
		give(eve, "breda")

		was, err := w.SnapshotAt(ctx, w.actor.Tenant, from)
		if err != nil {
			t.Fatal(err)
		}
		is := w.snapshot(t)
		for _, test := range []struct {
			why   string
			about policyfile.About
			want  []string
		}{
			{"all", policyfile.About{}, []string{"ann loses", "bob loses", "cid loses", "dan loses", "eve gains"}},
			{"a person", policyfile.About{User: ann}, []string{"ann loses"}},
			{"a person who has gone", policyfile.About{User: cid}, []string{"cid loses"}},
			{"a product", policyfile.About{Product: "wiki"}, []string{"cid loses"}},
			{"a site below that of a grant", policyfile.About{Site: site("utrecht")}, []string{"ann loses"}},
			{"a site", policyfile.About{Site: site("breda")}, []string{"ann loses", "eve gains"}},
			{"a site that was archived", policyfile.About{Site: site("be")}, []string{"bob loses", "dan loses"}},
			{"a site in a product without sites", policyfile.About{Product: "wiki", Site: site("breda")}, nil},
		} {
			c, err := policyfile.Compare(was, is, from, w.at, test.about)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, person := range c.People {
				got = append(got, fmt.Sprintf("%s %s", person.Name, person.Changes[0].Kind))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s: got %q, want %q", test.why, got, test.want)
			}
			if text := c.Text(0); len(test.want) == 0 && !strings.HasPrefix(text, "Nobody's access changed between 2026-03-02T09:01:00Z and ") {
				t.Errorf("%s: got %s", test.why, text)
			}
		}
		c, err := policyfile.Compare(was, is, from, w.at, policyfile.About{User: ann})
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "why", c.Text(0), "  ann (entra)\n    loses roster shifts, hours: view → nothing at site nl\n      no more directly: role viewer of roster at site nl\n")
		if c, err = policyfile.Compare(was, was, from, from.Add(time.Second), policyfile.About{}); err != nil || len(c.People) > 0 {
			t.Errorf("nothing has changed: got %+v, %v", c, err)
		}
	})
}
