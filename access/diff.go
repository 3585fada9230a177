package access

import (
	"encoding/binary"
	"reflect"
	"slices"
	"time"
)

// State is all that decides: who there is, what is granted, and when.
type State struct {
	Facts  Facts
	Policy *Policy
	At     time.Time
}

// Impact is what a change does to one person.
type Impact struct {
	User UserID `json:"user"`
	// Before and After say whether the account is live.
	Before      bool         `json:"before"`
	After       bool         `json:"after"`
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is what becomes of a permission in an area.
type Difference struct {
	Kind       DifferenceKind `json:"kind"`
	Product    ProductID      `json:"product"`
	Permission PermissionID   `json:"permission"`
	// Area is described by the sites of after; a site that only before has stands
	// for itself.
	Area Area `json:"area,omitempty"`
	// Before and After are the levels, empty for none.
	Before Level `json:"before,omitempty"`
	After  Level `json:"after,omitempty"`
	// Lost and Gained are the paths through grants that counted before and don't
	// after, and the other way round; Kept are those that count in both, as they are
	// after. Denies are among them.
	Lost   []Path `json:"lost,omitempty"`
	Gained []Path `json:"gained,omitempty"`
	Kept   []Path `json:"kept,omitempty"`
}

// DifferenceKind says in a word what a difference is.
type DifferenceKind string

// The kinds of difference. Keeps is a way to the permission that comes or goes
// without a change of its level.
const (
	Gains  DifferenceKind = "gains"
	Loses  DifferenceKind = "loses"
	Raises DifferenceKind = "raises"
	Lowers DifferenceKind = "lowers"
	Keeps  DifferenceKind = "keeps"
)

// Diff says for each person, in the order of their ids, what changes between two
// states: the preview of a change before it is made, and the account of it
// afterwards. People in one state only have nothing in the other. Only the people
// in the facts are looked at, so a caller who knows whom a change can concern
// passes just those.
func Diff(before, after State) []Impact {
	d := newDiffer(before, after)
	people := make(map[UserID]bool, len(after.Facts.People))
	for id := range before.Facts.People {
		people[id] = true
	}
	for id := range after.Facts.People {
		people[id] = true
	}
	var all []Impact
	for _, id := range sortedKeys(people) {
		if impact := d.person(id); impact.Before != impact.After || len(impact.Differences) > 0 {
			all = append(all, impact)
		}
	}
	return all
}

// differ compares people. Those with the same grants before and the same after
// fare alike, so that a group of thousands is worked out once.
type differ struct {
	before, after State
	// same holds the grants that mean the same in both policies.
	same  map[GrantID]bool
	known map[string][]change
}

// change is a difference in rules, from which each person's paths are made.
type change struct {
	finding
	before, after *product
}

func newDiffer(before, after State) *differ {
	d := &differ{before: before, after: after, same: make(map[GrantID]bool), known: make(map[string][]change)}
	a, b := before.Policy, after.Policy
	if a.base == b.base || reflect.DeepEqual(a.catalogue, b.catalogue) {
		for _, r := range a.rules {
			other := b.byID[r.ID]
			d.same[r.ID] = other != nil && (other.Grant == r.Grant || reflect.DeepEqual(other.Grant, r.Grant))
		}
	}
	return d
}

func (d *differ) person(id UserID) Impact {
	was, is := d.before.Facts.Subject(id), d.after.Facts.Subject(id)
	impact := Impact{User: id, Before: was.Person.Live(d.before.At), After: is.Person.Live(d.after.At)}
	old, now := d.before.Policy.inForce(&was, d.before.At), d.after.Policy.inForce(&is, d.after.At)
	if slices.EqualFunc(old, now, func(a, b *rule) bool { return a.ID == b.ID && d.same[a.ID] }) {
		return impact
	}
	then, today := newPaths(was), newPaths(is)
	for _, c := range d.changes(old, now) {
		impact.Differences = append(impact.Differences, c.difference(then, today))
	}
	return impact
}

func (d *differ) changes(old, now []*rule) []change {
	var key []byte
	for _, rules := range [][]*rule{old, now} {
		key = binary.AppendUvarint(key, uint64(len(rules)))
		for _, r := range rules {
			key = binary.AppendUvarint(key, uint64(len(r.ID)))
			key = append(key, r.ID...)
		}
	}
	if all, ok := d.known[string(key)]; ok {
		return all
	}
	var all []change
	for _, id := range d.products() {
		before, after := d.before.Policy.products[id], d.after.Policy.products[id]
		views := []view{d.before.Policy.view(before, old), d.after.Policy.view(after, now)}
		for _, f := range findings(views, func(f *finding) bool { return differs(f, before, after) }) {
			all = append(all, change{finding: f, before: before, after: after})
		}
	}
	d.known[string(key)] = all
	return all
}

// products are those of after, then those that only before has.
func (d *differ) products() []ProductID {
	var all []ProductID
	for _, pr := range d.after.Policy.ordered {
		all = append(all, pr.ID)
	}
	for _, pr := range d.before.Policy.ordered {
		if d.after.Policy.products[pr.ID] == nil {
			all = append(all, pr.ID)
		}
	}
	return all
}

func differs(f *finding, before, after *product) bool {
	return levelOf(before, f.ranks[0]) != levelOf(after, f.ranks[1]) ||
		!slices.EqualFunc(f.reaching[0], f.reaching[1], func(a, b *rule) bool { return a.ID == b.ID })
}

func levelOf(pr *product, rank uint8) Level {
	if pr == nil {
		return ""
	}
	return pr.level(rank)
}

func (c *change) difference(old, now *paths) Difference {
	known := c.after
	if known == nil {
		known = c.before
	}
	diff := Difference{
		Product: known.ID, Permission: c.permission, Area: c.area,
		Before: levelOf(c.before, c.ranks[0]), After: levelOf(c.after, c.ranks[1]),
	}
	diff.Kind = kindOf(diff, c.ranks[0], c.ranks[1])
	in := func(rules []*rule, id GrantID) bool {
		return slices.ContainsFunc(rules, func(r *rule) bool { return r.ID == id })
	}
	for _, r := range c.reaching[0] {
		if !in(c.reaching[1], r.ID) {
			diff.Lost = append(diff.Lost, old.through(r, c.before.permissionAt[c.permission])...)
		}
	}
	for _, r := range c.reaching[1] {
		paths := now.through(r, c.after.permissionAt[c.permission])
		if in(c.reaching[0], r.ID) {
			diff.Kept = append(diff.Kept, paths...)
			continue
		}
		diff.Gained = append(diff.Gained, paths...)
	}
	return diff
}

func kindOf(d Difference, before, after uint8) DifferenceKind {
	switch {
	case d.Before == d.After:
		return Keeps
	case d.Before == "":
		return Gains
	case d.After == "":
		return Loses
	case after > before:
		return Raises
	}
	return Lowers
}
