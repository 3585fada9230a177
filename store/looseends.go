package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"gatehouse/access"
)

// LooseEnds are what an administrator would want to tidy up. Everything is in the
// order of ids.
type LooseEnds struct {
	// Unmapped are the groups that get nobody anything, neither by a grant of their
	// own nor through a group that they are in.
	Unmapped []access.GroupID
	// Empty are the mappings of groups that nobody is in.
	Empty []access.GrantID
	// Sleeping are the mappings whose group was deleted.
	Sleeping []Relink
	// Orphaned are the grants to people who were deleted.
	Orphaned []access.GrantID
	// ArchivedSites are named by grants, which give nothing there.
	ArchivedSites []access.SiteID
	// WithoutAccess are the live people whom no grant reaches but those for everyone.
	WithoutAccess []access.UserID
	// Expiring are the accounts that end within 30 days.
	Expiring []access.UserID
	// FewHolders are the roles that fewer people have than the product's rules want.
	FewHolders []access.Finding
	// Shadow is what people keep of their own after they have left a group that gave
	// the same.
	Shadow []Shadow
	// Unkept are the open invitations that promise what isn't there any more.
	Unkept []InvitationID
}

// Shadow is a grant to a person of a role, or a permission, that a mapping gives to
// a group which she was in and has left.
type Shadow struct {
	User    access.UserID  `db:"user_id"`
	Grant   access.GrantID `db:"grant_id"`
	Mapping access.GrantID `db:"mapping_id"`
	Group   access.GroupID `db:"group_id"`
}

// expiresSoon is how far ahead LooseEnds looks.
const expiresSoon = 30 * 24 * time.Hour

// LooseEnds looks through a whole tenant.
func (s *Store) LooseEnds(ctx context.Context, tenant TenantID) (LooseEnds, error) {
	var ends LooseEnds
	err := s.agree(ctx, func(r reader) error {
		policy, err := r.policyAt(ctx, tenant, moment{})
		if err != nil {
			return err
		}
		facts, err := r.Facts(ctx, tenant)
		if err != nil {
			return err
		}
		ends = looseEnds(access.State{Facts: facts, Policy: policy, At: s.now()})
		if ends.Sleeping, err = r.Sleeping(ctx, tenant); err != nil {
			return err
		}
		if ends.Shadow, err = r.shadows(ctx, tenant, At(s.now())); err != nil {
			return err
		}
		open, err := r.OpenInvitations(ctx, tenant, s.now())
		if err != nil {
			return err
		}
		unkept, err := Unkept(policy, open)
		for _, v := range unkept {
			ends.Unkept = append(ends.Unkept, v.ID)
		}
		return err
	})
	return ends, err
}

// looseEnds are those that facts and policy tell.
func looseEnds(st access.State) LooseEnds {
	var ends LooseEnds
	mapped, users, archived := map[access.GroupID]bool{}, map[access.UserID]bool{}, map[access.SiteID]bool{}
	for _, g := range st.Policy.Grants() {
		inForce := g.Effect == access.Allow && g.InForce(st.At)
		switch {
		case g.Subject.Group != "":
			mapped[g.Subject.Group] = mapped[g.Subject.Group] || inForce
		case g.Subject.User != "":
			users[g.Subject.User] = users[g.Subject.User] || inForce
			if _, ok := st.Facts.People[g.Subject.User]; !ok {
				ends.Orphaned = append(ends.Orphaned, g.ID)
			}
		}
		for _, selection := range g.Scope.Sites {
			for _, id := range selection.Sites {
				if site, ok := st.Policy.Site(id); ok && site.Archived {
					archived[id] = true
				}
			}
		}
	}
	ends.ArchivedSites = slices.Sorted(maps.Keys(archived))

	inhabited := map[access.GroupID]bool{}
	for _, id := range slices.Sorted(maps.Keys(st.Facts.People)) {
		subject := st.Facts.Subject(id)
		reached := users[id]
		for _, group := range subject.Groups {
			inhabited[group] = true
			reached = reached || mapped[group]
		}
		if !subject.Person.Live(st.At) {
			continue
		}
		if !reached {
			ends.WithoutAccess = append(ends.WithoutAccess, id)
		}
		if end := subject.Person.ExpiresAt; !end.IsZero() && end.Before(st.At.Add(expiresSoon)) {
			ends.Expiring = append(ends.Expiring, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(st.Facts.Groups)) {
		within := access.NewSubject(access.Person{Groups: []access.GroupID{id}}, st.Facts.Groups)
		if !slices.ContainsFunc(within.Groups, func(g access.GroupID) bool { return mapped[g] }) {
			ends.Unmapped = append(ends.Unmapped, id)
		}
	}
	for _, g := range st.Policy.Grants() {
		if _, there := st.Facts.Groups[g.Subject.Group]; there && !inhabited[g.Subject.Group] {
			ends.Empty = append(ends.Empty, g.ID)
		}
	}
	for _, f := range access.Lint(st) {
		if f.Rule == access.RuleFewHolders {
			ends.FewHolders = append(ends.FewHolders, f)
		}
	}
	return ends
}

func (r reader) shadows(ctx context.Context, tenant TenantID, now Instant) ([]Shadow, error) {
	var all []Shadow
	err := r.list(ctx, &all, `SELECT DISTINCT d.user_id, d.id AS grant_id, m.id AS mapping_id, m.group_id FROM grants d
		JOIN members_past l ON l.tenant_id = d.tenant_id AND l.user_id = d.user_id
		JOIN grants m ON m.tenant_id = d.tenant_id AND m.group_id = l.group_id AND m.effect = 'allow'
			AND m.product = d.product AND m.role = d.role AND m.permission = d.permission AND m.attribute = ''
		WHERE d.tenant_id = ? AND d.user_id IS NOT NULL AND d.effect = 'allow' AND d.attribute = ''
		AND (d.valid_until = 0 OR d.valid_until > ?)
		AND EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = d.tenant_id AND u.id = d.user_id)
		AND NOT EXISTS (SELECT 1 FROM members i WHERE i.tenant_id = l.tenant_id AND i.group_id = l.group_id AND i.user_id = l.user_id)
		ORDER BY grant_id, mapping_id`, tenant, now)
	return all, err
}
