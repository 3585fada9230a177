package ui

import (
	"cmp"
	"context"
	"net/url"
	"slices"

	"gatehouse/access"
	"gatehouse/store"
)

// listing is a list of people by name, now (store.PeopleList) or as it was.
type listing interface {
	// Page gives at most limit of them behind a place; of the past without a policy.
	Page(ctx context.Context, after store.PeopleKey, limit int) ([]store.Somebody, *access.Policy, error)
	// Count counts them, up to most; one more means that there are more.
	Count(ctx context.Context, most int) (int, error)
}

// past is a listing of who there was, by name.
type past []store.Somebody

func (p past) Page(_ context.Context, after store.PeopleKey, limit int) ([]store.Somebody, *access.Policy, error) {
	from, found := slices.BinarySearchFunc(p, after, func(one store.Somebody, after store.PeopleKey) int {
		key := one.Key()
		return cmp.Or(cmp.Compare(key.Name, after.Name), cmp.Compare(key.ID, after.ID))
	})
	if found {
		from++
	}
	rest := p[from:]
	return rest[:min(limit, len(rest))], nil, nil
}

func (p past) Count(_ context.Context, most int) (int, error) { return min(len(p), most+1), nil }

// peopleThen lists those of a snapshot whom keep picks, by name.
func peopleThen(then *store.Snapshot, keep func(*store.Somebody) bool) past {
	var all []store.Somebody
	for id := range then.Facts.People {
		user := then.Users[id]
		one := store.Somebody{Subject: then.Facts.Subject(id), ID: string(id), UserName: user.Name, DisplayName: user.DisplayName}
		if keep(&one) {
			all = append(all, one)
		}
	}
	return byName(all, func(o store.Somebody) string { return o.DisplayName }, func(o store.Somebody) string { return o.ID })
}

// amongOf reports of somebody whether she is of an audience, as store.People does.
func amongOf(a access.Audience) func(access.Subject) bool {
	users, groups := map[access.UserID]bool{}, map[access.GroupID]bool{}
	for _, id := range a.Users {
		users[id] = true
	}
	for _, id := range a.Groups {
		groups[id] = true
	}
	return func(s access.Subject) bool {
		return a.Everyone || users[s.Person.ID] || slices.ContainsFunc(s.Groups, func(id access.GroupID) bool { return groups[id] })
	}
}

// peopleMoment reads the day that an address of the list asks for, and who had what
// then. A day to come is refused: nobody knows who will be there.
func (s *Server) peopleMoment(ctx context.Context, v *visit, query url.Values, q *peopleQuery) (err error) {
	if q.at, q.past, err = v.endOf(query.Get("at")); err != nil {
		return err
	}
	switch {
	case v.toCome(query.Get("at")):
		return badRequest{"people.toCome"}
	case !q.past:
		q.granted = v.granted(v.policy, v.now, nil)
		return nil
	}
	then, err := s.store.SnapshotAt(ctx, v.tenant(), q.at)
	if err != nil {
		return err
	}
	policy, err := access.NewPolicy(then.Catalogue, then.Grants)
	if err != nil {
		return err
	}
	q.day = query.Get("at")
	q.then, q.granted = &then, v.granted(policy, q.at, nil)
	return nil
}

// listing makes the list that is asked for.
func (s *Server) listing(ctx context.Context, v *visit, q *peopleQuery) (listing, error) {
	if !q.past {
		return s.store.People(ctx, v.tenant(), q.PeopleFilter)
	}
	ids := map[string]store.ConnectionID{}
	for _, c := range q.connections {
		ids[c.Name] = c.ID
	}
	called := store.Called(q.Text)
	var among []func(access.Subject) bool
	for _, a := range q.Among {
		among = append(among, amongOf(a))
	}
	return peopleThen(q.then, func(one *store.Somebody) bool {
		one.Connection = ids[q.then.Users[one.Person.ID].Connection]
		return (q.Connection == "" || one.Connection == q.Connection) && (q.State == "" || stateOf(one.Person, q.at) == q.State) &&
			called(one.DisplayName, one.UserName) &&
			!slices.ContainsFunc(among, func(in func(access.Subject) bool) bool { return !in(one.Subject) })
	}), nil
}

// nobodyYet says why there is nobody on a day of the past.
func (s *Server) nobodyYet(ctx context.Context, v *visit, on asOf) (empty, error) {
	tenants, err := s.store.Tenants(ctx)
	for _, t := range tenants {
		if t.ID == v.tenant() {
			return empty{Text: v.words.t("people.nobodyYet", "date", v.words.date(on.At.Time), "first", v.words.date(t.CreatedAt.In(v.zone))), Href: on.Path, Link: v.words.t("because.now")}, err
		}
	}
	return empty{}, err
}

// groupsThen are the groups of a snapshot to choose from: of a visitor who sees only
// some, those.
func groupsThen(then *store.Snapshot, mine access.Audience) []option {
	var options []option
	for id, group := range then.Groups {
		if mine.Everyone || slices.Contains(mine.Groups, id) {
			options = append(options, option{Value: string(id), Text: group.Name})
		}
	}
	sortOptions(options)
	return options
}

// groupNamed finds a group by its id or its name, of now or of then: ErrNotFound and
// ErrAmbiguous are as in store.GroupNamed.
func (s *Server) groupNamed(ctx context.Context, v *visit, q *peopleQuery, name string) (store.Somebody, error) {
	if !q.past {
		one, _, err := s.store.GroupNamed(ctx, v.tenant(), name)
		return one, err
	}
	one, err := store.Somebody{}, store.ErrNotFound
	for id, group := range q.then.Groups {
		switch {
		case string(id) == name:
			return store.Somebody{ID: name, DisplayName: group.Name}, nil
		case store.Fold(group.Name) != store.Fold(name):
		case err == nil:
			err = store.ErrAmbiguous
		case one.ID == "":
			one, err = store.Somebody{ID: string(id), DisplayName: group.Name}, nil
		}
	}
	return one, err
}
