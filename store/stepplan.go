package store

import (
	"context"
	"fmt"
	"slices"
)

// plan is what a change comes to.
type plan struct {
	before, after Group
	// first is what the first transaction does, all of it when that isn't much; come
	// and gone are the users that the steps are for.
	first      MemberDelta
	come, gone []string
	unknown    []MemberID
}

// result adds to what the first transaction did what the steps did.
func (p plan) result(first MembersResult) MembersResult {
	first.Added += len(p.come)
	first.Removed += len(p.gone)
	first.Unknown = slices.Concat(p.unknown, first.Unknown)
	return first
}

// plan works out what a change of a group comes to.
func (r reader) plan(ctx context.Context, c ConnectionRef, id GroupID, change func(Group) (Group, MemberDelta, error)) (plan, error) {
	before, err := r.group(ctx, c, id, "")
	if err != nil {
		return plan{}, err
	}
	after, delta, err := change(before)
	if err != nil {
		return plan{}, err
	}
	p, err := r.planMembers(ctx, c, id, delta)
	p.before, p.after = before, after
	return p, err
}

// planMembers does so for the members.
func (r reader) planMembers(ctx context.Context, c ConnectionRef, id GroupID, delta MemberDelta) (p plan, err error) {
	add, unknown := splitIDs(delta.Add)
	var remove []string
	if !delta.Replace {
		remove, _ = splitIDs(delta.Remove)
	}
	p.unknown = unknown
	d := r.pool.dialect
	ids := func(query string, args ...any) (set map[string]bool) {
		set = map[string]bool{}
		if err != nil {
			return set
		}
		var list []string
		err = r.list(ctx, &list, query, args...)
		for _, id := range list {
			set[id] = true
		}
		return set
	}
	// Of those who can go or are in already.
	var users map[string]bool
	groups := ids(`SELECT member_id FROM subgroups WHERE tenant_id = ? AND group_id = ?`, c.Tenant, id)
	if delta.Replace {
		users = ids(`SELECT user_id FROM members WHERE tenant_id = ? AND group_id = ?`, c.Tenant, id)
		keep := map[string]bool{}
		for _, id := range add {
			keep[id] = true
		}
		for _, members := range []map[string]bool{users, groups} {
			for id := range members {
				if !keep[id] {
					remove = append(remove, id)
				}
			}
		}
	} else {
		named := d.idList(slices.Concat(add, remove))
		users = ids(`SELECT w.id FROM (`+d.idRows+`) w `+d.each("members", `u.tenant_id = ? AND u.group_id = ? AND u.user_id = w.id`), named, c.Tenant, id)
	}
	for _, id := range remove {
		switch {
		case users[id]:
			p.gone = append(p.gone, id)
		case groups[id]:
			p.first.Remove = append(p.first.Remove, MemberID(id))
		}
	}
	add = slices.DeleteFunc(add, func(id string) bool { return users[id] || groups[id] })
	known := ids(`SELECT w.id FROM (`+d.idRows+`) w `+d.each("users", `u.tenant_id = ? AND u.id = w.id AND u.connection_id = ?`), d.idList(add), c.Tenant, c.ID)
	var others []string
	for _, id := range add {
		if known[id] {
			p.come = append(p.come, id)
		} else {
			others = append(others, id)
		}
	}
	known = ids(`SELECT w.id FROM (`+d.idRows+`) w `+d.each("groups", `u.tenant_id = ? AND u.id = w.id AND u.connection_id = ?`), d.idList(others), c.Tenant, c.ID)
	for _, id := range others {
		if known[id] {
			p.first.Add = append(p.first.Add, MemberID(id))
		} else {
			p.unknown = append(p.unknown, MemberID(id))
		}
	}
	if err == nil && delta.Replace && len(p.gone)+len(p.first.Remove) > 0 && len(delta.Add) > 0 && len(p.unknown) == len(delta.Add) {
		err = fmt.Errorf("members of group %s: %w", id, ErrUnknownMembers)
	}
	// In the order of the tables, so that a step touches few of their pages.
	p.come, p.gone = sortedSet(p.come), sortedSet(p.gone)
	return p, err
}

// stepsOf are the steps of a plan; when they aren't worth it, there are none and the
// first transaction does everything.
func (s *Store) stepsOf(actor Actor, c ConnectionRef, id GroupID, p *plan) *steps {
	if len(p.come)+len(p.gone) <= s.sizes.whole {
		for _, id := range p.come {
			p.first.Add = append(p.first.Add, MemberID(id))
		}
		for _, id := range p.gone {
			p.first.Remove = append(p.first.Remove, MemberID(id))
		}
		p.come, p.gone = nil, nil
	}
	all := &steps{conn: c, group: id, change: ChangeID(newID()), actor: actor}
	for n := 0; n*s.sizes.part < max(len(p.come), len(p.gone)); n++ {
		all.parts = append(all.parts, portion{n, cutOut(p.come, n, s.sizes.part), cutOut(p.gone, n, s.sizes.part)})
	}
	return all
}

// sortedSet gives each of a list once, in order.
func sortedSet(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// cutOut is the nth piece of a list.
func cutOut(list []string, n, size int) []string {
	return list[min(n*size, len(list)):min((n+1)*size, len(list))]
}
