package webhook

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/access"
	"gatehouse/store"
)

// Whatever makes somebody gain or lose something, the product is told just that.
func TestEachCauseIsTold(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		ids := r.users(t, "ann", "bob", "cid", "dora")
		ann, bob := ids[0], ids[1]
		crew := r.group(t, "crew", store.MemberID(ann))
		inner := r.group(t, "inner", store.MemberID(bob))
		r.grant(t, "crm", toGroup(crew), nil)
		r.hook(t, "crm", r.crm)
		r.start(t, options(t))

		var granted access.Grant
		setProduct := func(p access.Product) func() {
			return func() { r.write(t, func(tx *store.Tx) error { return tx.SetProduct(ctx, p) }) }
		}
		person := func(id store.UserID, change func(*store.Person)) func() {
			return func() {
				r.write(t, func(tx *store.Tx) error {
					_, err := tx.ChangePerson(ctx, id, func(p store.Person) store.Person { change(&p); return p })
					return err
				})
			}
		}
		site := func(id access.SiteID, change func(*access.Site)) func() {
			return func() {
				r.write(t, func(tx *store.Tx) error {
					_, err := tx.ChangeSite(ctx, id, func(s access.Site) access.Site { change(&s); return s })
					return err
				})
			}
		}
		delta := func(g store.Group, d store.MemberDelta) func() { return func() { r.members(t, g, d) } }
		for _, step := range []struct {
			why  string
			do   func()
			want []string
		}{
			{"what was before the webhook isn't told", func() {}, nil},
			{"deactivated by the provider", func() { r.active(t, ann, false) },
				[]string{"user.deactivated ann", "access.changed ann loses doc edit>@eu ="}},
			{"and active again", func() { r.active(t, ann, true) }, []string{"access.changed ann gains doc >edit@eu = doc:edit@eu"}},
			{"added to a group", delta(crew, store.MemberDelta{Add: []store.MemberID{store.MemberID(bob)}}),
				[]string{"access.changed bob gains doc >edit@eu = doc:edit@eu"}},
			{"removed from it", delta(crew, store.MemberDelta{Remove: []store.MemberID{store.MemberID(bob)}}),
				[]string{"access.changed bob loses doc edit>@eu ="}},
			{"a group put into it", delta(crew, store.MemberDelta{Add: []store.MemberID{store.MemberID(inner.ID)}}),
				[]string{"access.changed bob gains doc >edit@eu = doc:edit@eu"}},
			{"a group taken out", delta(crew, store.MemberDelta{Remove: []store.MemberID{store.MemberID(inner.ID)}}),
				[]string{"access.changed bob loses doc edit>@eu ="}},
			{"all members replaced", delta(crew, store.MemberDelta{Replace: true, Add: []store.MemberID{store.MemberID(bob)}}),
				[]string{"access.changed ann loses doc edit>@eu =", "access.changed bob gains doc >edit@eu = doc:edit@eu"}},
			{"and put back", delta(crew, store.MemberDelta{Replace: true, Add: []store.MemberID{store.MemberID(ann)}}),
				[]string{"access.changed ann gains doc >edit@eu = doc:edit@eu", "access.changed bob loses doc edit>@eu ="}},
			{"another product's grant is none of its business", func() { r.grant(t, "wiki", toUser(bob), nil) }, nil},
			{"granted to a person", func() {
				granted = r.grant(t, "crm", toUser(bob), func(g *access.Grant) { g.Role, g.Permission, g.Level = "", "doc", "view" })
			}, []string{"access.changed bob gains doc >view@eu = doc:view@eu"}},
			{"the grant is raised", func() {
				r.write(t, func(tx *store.Tx) error {
					_, err := tx.ChangeGrant(ctx, granted.ID, func(g access.Grant) access.Grant { g.Level = "edit"; return g })
					return err
				})
			}, []string{"access.changed bob raises doc view>edit@eu = doc:edit@eu"}},
			{"and ended", func() { r.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, granted.ID) }) },
				[]string{"access.changed bob loses doc edit>@eu ="}},
			{"denied at a site", func() {
				granted = r.grant(t, "crm", toUser(ann), func(g *access.Grant) {
					g.Effect, g.Role, g.Permission, g.Level = access.Deny, "", "doc", "edit"
					g.Scope.Sites = map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{r.berlin}}}
				})
			}, []string{"access.changed ann lowers doc edit>view@berlin = doc:edit@eu,-berlin doc:view@berlin"}},
			{"denied no more", func() { r.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, granted.ID) }) },
				[]string{"access.changed ann raises doc view>edit@berlin = doc:edit@eu"}},
			{"the role gives less", setProduct(product("crm", "view")), []string{"access.changed ann lowers doc edit>view@eu = doc:view@eu"}},
			{"the role gives more", setProduct(product("crm", "edit")), []string{"access.changed ann raises doc view>edit@eu = doc:edit@eu"}},
			{"a site leaves the place granted", site(r.berlin, func(s *access.Site) { s.Parent = "" }),
				[]string{"access.changed ann loses doc edit>@berlin = doc:edit@eu"}},
			{"and comes back", site(r.berlin, func(s *access.Site) { s.Parent = r.eu }),
				[]string{"access.changed ann gains doc >edit@berlin = doc:edit@eu"}},
			{"renaming a site changes nothing", site(r.berlin, func(s *access.Site) { s.Name = "Spree" }), nil},
			{"blocked here", person(ann, func(p *store.Person) { p.LoginAllowed = false }),
				[]string{"user.deactivated ann", "access.changed ann loses doc edit>@eu ="}},
			{"allowed again", person(ann, func(p *store.Person) { p.LoginAllowed = true }),
				[]string{"access.changed ann gains doc >edit@eu = doc:edit@eu"}},
			{"an account that will expire", person(ann, func(p *store.Person) { p.ExpiresAt = r.clock.Now().Add(time.Hour) }), nil},
			{"has expired", func() { r.clock.advance(2 * time.Hour) },
				[]string{"user.deactivated ann", "access.changed ann loses doc edit>@eu ="}},
			{"and is prolonged", person(ann, func(p *store.Person) { p.ExpiresAt = time.Time{} }),
				[]string{"access.changed ann gains doc >edit@eu = doc:edit@eu"}},
			{"a grant for later", func() {
				granted = r.grant(t, "crm", toUser(bob), func(g *access.Grant) {
					g.From, g.Until = r.clock.Now().Add(time.Hour), r.clock.Now().Add(3*time.Hour)
				})
			}, nil},
			{"begins", func() { r.clock.advance(2 * time.Hour) }, []string{"access.changed bob gains doc >edit@eu = doc:edit@eu"}},
			{"that it will end later is no change yet", func() {
				r.write(t, func(tx *store.Tx) error {
					_, err := tx.ChangeGrant(ctx, granted.ID, func(g access.Grant) access.Grant { g.Until = g.Until.Add(time.Hour); return g })
					return err
				})
			}, nil},
			{"and ends by itself", func() { r.clock.advance(2 * time.Hour) }, []string{"access.changed bob loses doc edit>@eu ="}},
			{"the group is deleted", func() { r.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, r.ref, crew.ID) }) },
				[]string{"access.changed ann loses doc edit>@eu ="}},
			{"granted to everyone", func() { granted = r.grant(t, "crm", access.Grantee{Everyone: true}, nil) },
				[]string{"access.changed ann gains doc >edit@eu = doc:edit@eu", "access.changed bob gains doc >edit@eu = doc:edit@eu",
					"access.changed cid gains doc >edit@eu = doc:edit@eu", "access.changed dora gains doc >edit@eu = doc:edit@eu"}},
			{"a new person", func() { r.users(t, "eve") }, []string{"access.changed eve gains doc >edit@eu = doc:edit@eu"}},
			{"a deleted person", func() { r.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, r.ref, ids[2]) }) },
				[]string{"user.deactivated cid", "access.changed cid loses doc edit>@eu ="}},
			{"deactivated, and deleted later", func() { r.active(t, ids[3], false) },
				[]string{"user.deactivated dora", "access.changed dora loses doc edit>@eu ="}},
			{"deleted later", func() { r.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, r.ref, ids[3]) }) },
				[]string{"user.deactivated dora"}},
			{"come and gone before anybody was told", func() {
				r.write(t, func(tx *store.Tx) error {
					doc := []byte(`{"userName":"gus","active":true}`)
					gus, err := tx.CreateUser(ctx, r.ref, store.User{UserName: "gus", Active: true, Doc: doc, Search: doc})
					if err != nil {
						return err
					}
					return tx.DeleteUser(ctx, r.ref, gus.ID)
				})
			}, []string{"user.deactivated gus"}},
			{"off and on at once is told as such", func() {
				r.write(t, func(tx *store.Tx) error {
					for _, active := range []bool{false, true} {
						if err := r.switchUser(t, tx, ann, active); err != nil {
							return err
						}
					}
					return nil
				})
			},
				[]string{"user.deactivated ann", "access.changed ann loses doc edit>@eu =", "access.changed ann gains doc >edit@eu = doc:edit@eu"}},
		} {
			step.do()
			// What time does leaves no trace in the log to wait for.
			r.wait(t, step.why, func() bool { return r.crm.count() >= len(step.want) })
			r.settled(t)
			got := lines(r.crm.take())
			slices.SortStableFunc(got, byPerson)
			if diff := cmp.Diff(append([]string{}, step.want...), got); diff != "" {
				t.Errorf("%s: -want +got\n%s", step.why, diff)
			}
		}
		r.verified(t)
	})
}

// byPerson orders messages by person; those of a person stay in the order they came.
func byPerson(a, b string) int {
	return strings.Compare(strings.Fields(a)[1], strings.Fields(b)[1])
}
