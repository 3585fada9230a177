package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"gatehouse/access"
	"gatehouse/store"
)

// crowdSize is more people than a list looks at one by one, and bystanders more than
// it looks at first for a page of few.
const (
	crowdSize  = 2100
	bystanders = 310
)

// wordsOf cuts a text into words another way than the store does.
func wordsOf(text string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(store.Fold(text), "i\u0307", "i"), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// peopleList compares lists of people with what a loop over all of them picks.
func peopleList(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	q := p
	p.write(t, func(tx *store.Tx) (err error) {
		q.conn, err = tx.CreateConnection(ctx, "okta", store.IdPOkta)
		return err
	})
	q.ref = q.conn.Ref()
	stranger := newPlace(t, s, "globex", "entra")
	stranger.addUser(t, person("ann", map[string]any{"displayName": "Ann Stranger"}))

	type one struct {
		store.User
		connection store.ConnectionID
		state      store.PersonState
		groups     []string
	}
	var all []one
	add := func(at place, name, display string, active bool, groups ...string) {
		u := person(name, map[string]any{"displayName": display, "active": active, "emails": []any{map[string]any{"value": "mail-" + name + "@Corp.example"}}})
		state := store.PersonLive
		if !active {
			state = store.PersonInactive
		}
		all = append(all, one{u, at.conn.ID, state, groups})
	}
	add(p, "ann", "Ann Smit", true, "crew")
	add(q, "ann", "Ann Smit", true) // somebody else
	add(p, "éva", "ÉVA de Boer", true, "inner")
	add(p, "zed", "", true)
	add(p, "bob", "bob", false, "crew")
	add(p, "100%_x", "Per % cent_", true)
	add(p, "Ann_Partner.example#EXT#@corp.example", "(Ann) of partner", true)
	add(p, "ann@corp.example", "Smit, Ann", true)
	add(p, "o'neill-ruiz", "Máire O’Neill\u00a0Ruiz\u2011Öz (extern)", true)
	add(p, "i.hakki", "İstanbul İbrahim", true)
	add(p, "İnci", "Ali ILICA", true)
	add(p, "veli.long", "ALİ VELİ", true)
	add(p, "crowd.i", "İlk Crowd", true, "crowd")
	add(p, "blocked", "Carl Blocked", true, "inner")
	all[len(all)-1].state = store.PersonBlocked
	add(q, "expired", "Dora Expired", true)
	all[len(all)-1].state = store.PersonExpired
	for i := range bystanders {
		add(p, fmt.Sprintf("by%04d", i), fmt.Sprintf("Bystander %04d", i), true)
	}
	// Most of the crowd are in the group, and none of the other connection. Each has so
	// many words that begin with a c and with a t that these find more than are counted.
	for i := range crowdSize + 200 {
		at, groups, number := p, []string{"crowd"}, (i*7919)%crowdSize
		if i >= crowdSize {
			groups = nil
			if i%2 == 0 {
				at = q
			}
		}
		// The word stands in front of both names; of few in front of one or none, or twice.
		user, display := "crowd%04d.ca.co.ib.ta.te.ti.to", "Crowd %04d"
		switch i % 25 {
		case 1:
			display = "Team Crowd %04d"
		case 2:
			user, display = "team%04d.crowd", "Crowd %04d Crowded"
		case 3:
			user, display = "team%04d.crowding", "Team Crowd %04d"
		}
		add(at, fmt.Sprintf(user, i), fmt.Sprintf(display, number), i%50 != 0, groups...)
		switch one := &all[len(all)-1]; i % 60 {
		case 1:
			one.state = store.PersonBlocked
		case 2:
			one.state = store.PersonExpired
		}
	}
	p.write(t, func(tx *store.Tx) error {
		for i := range all {
			ref := store.ConnectionRef{Tenant: p.ref.Tenant, ID: all[i].connection}
			u, err := tx.CreateUser(ctx, ref, all[i].User)
			if err != nil {
				return err
			}
			all[i].ID = u.ID
		}
		return nil
	})
	in := func(group string) (ids []store.UserID) {
		for _, o := range all {
			if slices.Contains(o.groups, group) {
				ids = append(ids, o.ID)
			}
		}
		return ids
	}
	crew := p.addGroup(t, team("crew", nil), in("crew")...)
	inner := p.addGroup(t, team("inner", nil), in("inner")...)
	crowd := p.addGroup(t, team("crowd", nil), in("crowd")...)
	outer := p.addGroup(t, team("outer", nil))
	if _, err := p.changeMembers(t, outer.ID, store.MemberDelta{Add: []store.MemberID{store.MemberID(inner.ID)}}); err != nil {
		t.Fatal(err)
	}
	expires := p.Now().Add(-time.Hour)
	p.write(t, func(tx *store.Tx) error {
		for _, o := range all {
			if o.state != store.PersonBlocked && o.state != store.PersonExpired {
				continue
			}
			_, err := tx.ChangePerson(ctx, o.ID, func(w store.Person) store.Person {
				if o.state == store.PersonBlocked {
					w.LoginAllowed = false
				} else {
					w.ExpiresAt = expires
				}
				return w
			})
			if err != nil {
				return err
			}
		}
		return nil
	})

	groups := func(ids ...store.GroupID) access.Audience {
		var a access.Audience
		for _, id := range ids {
			a.Groups = append(a.Groups, access.GroupID(id))
		}
		return a
	}
	member := func(o one, a access.Audience) bool {
		if a.Everyone || slices.Contains(a.Users, access.UserID(o.ID)) {
			return true
		}
		for name, ids := range map[string][]store.GroupID{"crew": {crew.ID}, "inner": {inner.ID, outer.ID}, "crowd": {crowd.ID}} {
			for _, id := range ids {
				if slices.Contains(o.groups, name) && slices.Contains(a.Groups, access.GroupID(id)) {
					return true
				}
			}
		}
		return false
	}
	picks := func(o one, f store.PeopleFilter) bool {
		text := strings.TrimSpace(store.Fold(f.Text))
		local, _, _ := strings.Cut(o.UserName, "@")
		for _, word := range wordsOf(text) {
			begins := func(has string) bool { return strings.HasPrefix(has, word) }
			if !strings.Contains(text, "@") && !slices.ContainsFunc(wordsOf(o.DisplayName+" "+local), begins) {
				return false
			}
		}
		if strings.Contains(text, "@") && !strings.HasPrefix(store.Fold(o.UserName), text) && store.Fold(o.Emails[0]) != text ||
			text != "" && len(wordsOf(text)) == 0 {
			return false
		}
		for _, a := range f.Among {
			if !member(o, a) {
				return false
			}
		}
		return (f.Connection == "" || f.Connection == o.connection) && (f.State == "" || f.State == o.state)
	}

	filters := map[string]store.PeopleFilter{
		"all":                           {},
		"a connection":                  {Connection: q.conn.ID},
		"a word of a name":              {Text: "ann"},
		"two words in any order":        {Text: " SMIT ann "},
		"in any case":                   {Text: "éVA"},
		"part of a user name":           {Text: "ZE"},
		"an e-mail address":             {Text: "MAIL-zed@corp.example"},
		"half an e-mail address":        {Text: "mail-zed"},
		"a user name with an @":         {Text: "ANN@corp.example"},
		"its beginning":                 {Text: " ann@"},
		"not what is behind the @":      {Text: "corp"},
		"a word behind the first":       {Text: "ext"},
		"a user name as it is":          {Text: "O'Neill-Ruiz"},
		"behind any separator":          {Text: "neill ruiz öz extern"},
		"not inside a word":             {Text: "eill"},
		"an i for İ":                    {Text: "istanbul"},
		"the beginning of such a word":  {Text: "i"},
		"two such words":                {Text: "ibra ISTAN"},
		"İ as it is":                    {Text: "İSTANBUL"},
		"İ for an i":                    {Text: "İLİCA"},
		"an i for İ inside a word":      {Text: "ali"},
		"every i for İ":                 {Text: "veli ali"},
		"an i for İ in a user name":     {Text: "inci"},
		"not without its first letter":  {Text: "stanbul"},
		"an i for İ, and many":          {Text: "ilk crowd"},
		"the same word twice":           {Text: "ann ann"},
		"many words":                    {Text: "100 x Per cent 1 10 100 x per ce cen"},
		"no wildcards":                  {Text: "%"},
		"nor these":                     {Text: "_"},
		"a word of many":                {Text: "crowd"},
		"a word of many and one of few": {Text: "crowd 0042"},
		"nobody":                        {Text: "nobody"},
		"no text at all":                {Text: "a\x00b"},
		"no UTF-8":                      {Text: "\xff"},
		"no connection":                 {Connection: "x"},
		"live":                          {State: store.PersonLive},
		"inactive":                      {State: store.PersonInactive},
		"blocked":                       {State: store.PersonBlocked},
		"expired":                       {State: store.PersonExpired},
		"a small group":                 {Among: []access.Audience{groups(crew.ID)}},
		"a group in a group":            {Among: []access.Audience{groups(outer.ID)}},
		"a large group":                 {Among: []access.Audience{groups(crowd.ID)}},
		"a large group and a word":      {Among: []access.Audience{groups(crowd.ID)}, Text: "0042"},
		"a large group, inactive":       {Among: []access.Audience{groups(crowd.ID)}, State: store.PersonInactive},
		"large and small groups":        {Among: []access.Audience{groups(crowd.ID, outer.ID), groups(crowd.ID, crew.ID, inner.ID)}},
		"a group and a person":          {Among: []access.Audience{{Users: []access.UserID{access.UserID(all[3].ID)}, Groups: groups(crew.ID).Groups}}},
		"two groups at once":            {Among: []access.Audience{groups(crew.ID), groups(inner.ID)}},
		"nobody's grants":               {Among: []access.Audience{{}}},
		"everyone's":                    {Among: []access.Audience{{Everyone: true}}, Text: "smit"},
		"large and everyone":            {Among: []access.Audience{{Everyone: true}, groups(crowd.ID)}, Connection: p.conn.ID, State: store.PersonLive},
	}
	for _, text := range []string{"crowd", "team crowd", "c", "C t", "c 1", "ib"} {
		for name, among := range map[string][]access.Audience{
			"all":                  nil,
			"a large group":        {groups(crowd.ID)},
			"large and with a few": {groups(crowd.ID), {Users: []access.UserID{access.UserID(all[20].ID), access.UserID(all[3].ID)}, Groups: groups(crowd.ID).Groups}},
			"a few":                {{Users: []access.UserID{access.UserID(all[20].ID), access.UserID(all[3].ID)}}},
		} {
			for _, f := range []store.PeopleFilter{{}, {Connection: q.conn.ID}, {State: store.PersonLive}, {State: store.PersonInactive}, {State: store.PersonBlocked, Connection: q.conn.ID}} {
				f.Text, f.Among = text, among
				filters[fmt.Sprintf("%q of %s, %s, of connection %q", text, name, f.State, f.Connection)] = f
			}
		}
	}
	for why, f := range filters {
		var want []store.PeopleKey
		for _, o := range all {
			if !strings.ContainsRune(f.Text, 0) && f.Text != "\xff" && picks(o, f) {
				want = append(want, store.PeopleKey{Name: store.Fold(o.DisplayName), ID: o.ID})
			}
		}
		slices.SortFunc(want, func(a, b store.PeopleKey) int {
			return strings.Compare(a.Name+"\x00"+string(a.ID), b.Name+"\x00"+string(b.ID))
		})
		l, err := p.People(ctx, p.ref.Tenant, f)
		if err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		var got []store.PeopleKey
		var after store.PeopleKey
		for limit := 3; ; limit = 1500 {
			page, policy, err := l.Page(ctx, after, limit)
			if err != nil {
				t.Fatalf("%s: %v", why, err)
			}
			if len(page) == 0 {
				break
			}
			if policy == nil || len(page) > limit {
				t.Errorf("%s: %d people with policy %v, want at most %d and a policy", why, len(page), policy, limit)
			}
			for _, one := range page {
				got = append(got, one.Key())
			}
			after = page[len(page)-1].Key()
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %d people, want %d: %.300s, want %.300s", why, len(got), len(want), fmt.Sprint(got), fmt.Sprint(want))
		}
		if called := store.Called(f.Text); f.Connection == "" && f.State == "" && len(f.Among) == 0 && why != "an e-mail address" {
			for _, o := range all {
				if key := (store.PeopleKey{Name: store.Fold(o.DisplayName), ID: o.ID}); called(o.DisplayName, o.UserName) != slices.Contains(want, key) {
					t.Errorf("%s: Called of %s (%s) is %v, and the list says otherwise", why, o.DisplayName, o.UserName, !slices.Contains(want, key))
				}
			}
		}
		for _, most := range []int{1, 5000} {
			if n, err := l.Count(ctx, most); err != nil || n != min(len(want), most+1) {
				t.Errorf("%s: counted %d up to %d (%v), want %d", why, n, most, err, min(len(want), most+1))
			}
		}
	}

	of := map[store.ConnectionID]int{}
	for _, o := range all {
		of[o.connection]++
	}
	sizes, err := p.ConnectionSizes(ctx, p.ref.Tenant)
	if err != nil || sizes[p.conn.ID].Users != of[p.conn.ID] || sizes[q.conn.ID].Users != of[q.conn.ID] || sizes[p.conn.ID].Groups != 4 {
		t.Errorf("sizes: got %+v, %v", sizes, err)
	}
}

// wordsFollowNames renames somebody, among others who stay: she is found by what she
// is called now, at once, and by nothing when she is gone.
func wordsFollowNames(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	named := func(name, display string) store.User {
		return person(name, map[string]any{"displayName": display})
	}
	p.addUser(t, named("anna.smit@corp.example", "Anna Smit"))
	ann := p.addUser(t, named("ann.smit@corp.example", "Ann Smit"))
	found := func(text string) (names []string) {
		t.Helper()
		l, err := p.People(ctx, p.ref.Tenant, store.PeopleFilter{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		people, _, err := l.Page(ctx, store.PeopleKey{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range people {
			names = append(names, one.DisplayName)
		}
		return names
	}
	check := func(when string, want map[string][]string) {
		t.Helper()
		for text, names := range want {
			if got := found(text); !slices.Equal(got, names) {
				t.Errorf("%s, %q: found %q, want %q", when, text, got, names)
			}
		}
	}
	both, other := []string{"Ann Smit", "Anna Smit"}, []string{"Anna Smit"}
	check("at first", map[string][]string{"ann": both, "smit an": both, "anna": other, "jansen": nil, "anna.smit@c": other})

	changed := func(u store.User) {
		t.Helper()
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.UpdateUser(ctx, p.ref, ann.ID, func(store.User) (store.User, error) { return u, nil })
			return err
		})
	}
	changed(named("ann.smit@corp.example", "Ann Jansen"))
	check("with another name", map[string][]string{"jansen": {"Ann Jansen"}, "smit": {"Ann Jansen", "Anna Smit"}})
	changed(named("aj@corp.example", "Ann Jansen"))
	check("with another user name", map[string][]string{"aj": {"Ann Jansen"}, "smit": other, "ann": {"Ann Jansen", "Anna Smit"}})
	changed(named("aj@corp.example", ""))
	check("without a display name", map[string][]string{"jansen": nil, "aj": {""}})

	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ann.ID) })
	check("gone", map[string][]string{"aj": nil, "a": other})
}
