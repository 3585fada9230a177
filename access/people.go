package access

import (
	"slices"
	"time"
)

// Person is somebody, with what decides whether the account is live and the
// groups that she is directly in.
type Person struct {
	ID   UserID `json:"id"`
	Kind Kind   `json:"kind,omitempty"`
	// Active is what the identity provider says; LoginAllowed is what we say.
	Active       bool `json:"active,omitempty"`
	LoginAllowed bool `json:"loginAllowed,omitempty"`
	// ExpiresAt ends the account; the zero time never does.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	Groups    []GroupID `json:"groups,omitempty"`
}

// Kind is what somebody is to the company. Rules speak of it; it gives nothing.
type Kind string

// The kinds of people.
const (
	KindEmployee   Kind = "employee"
	KindClient     Kind = "client"
	KindContractor Kind = "contractor"
	KindGuest      Kind = "guest"
	KindService    Kind = "service"
)

// Live reports whether the account is live at the instant: active, allowed to
// sign in, and not expired. Nobody is live at the zero time, which is an instant
// that somebody forgot.
func (p *Person) Live(at time.Time) bool {
	return p.Active && p.LoginAllowed && !p.expired(at) && !at.IsZero()
}

func (p *Person) expired(at time.Time) bool {
	return !p.ExpiresAt.IsZero() && !at.Before(p.ExpiresAt)
}

// Group is a set of people. Who is in it is in its Parents too, and in theirs.
type Group struct {
	ID      GroupID   `json:"id"`
	Name    string    `json:"name,omitempty"`
	Parents []GroupID `json:"parents,omitempty"`
}

// Facts are who there is at an instant.
type Facts struct {
	People map[UserID]Person `json:"people,omitempty"`
	Groups map[GroupID]Group `json:"groups,omitempty"`
}

// Subject is a person with all groups that she is in: what a decision needs to
// know about somebody. The zero Subject is nobody, and may do nothing.
type Subject struct {
	Person Person
	// Groups are those that the person is in, directly or through another, sorted.
	Groups []GroupID

	known map[GroupID]Group
	// direct says that the person's own groups are all, and known is not needed.
	direct bool
}

// Subject is the person of that id with her groups, or the zero Subject.
func (f Facts) Subject(id UserID) Subject {
	person, ok := f.People[id]
	if !ok {
		return Subject{}
	}
	return NewSubject(person, f.Groups)
}

// NewSubject finds all groups that the person is in. Known holds at least those:
// a group that it doesn't hold gives nothing. Groups that contain each other are
// no trouble.
func NewSubject(person Person, known map[GroupID]Group) Subject {
	return Subject{Person: person, Groups: closure(known, person.Groups...), known: known}
}

// DirectSubject is NewSubject for a person whose groups are all known and within no
// others.
func DirectSubject(person Person) Subject {
	groups := slices.Clone(person.Groups)
	slices.Sort(groups)
	return Subject{Person: person, Groups: slices.Compact(groups), direct: true}
}

// closure is the known groups among from and all above them, sorted.
func closure(known map[GroupID]Group, from ...GroupID) []GroupID {
	var found []GroupID
	nested := false
	for _, id := range from {
		if group, ok := known[id]; ok {
			found, nested = append(found, id), nested || len(group.Parents) > 0
		}
	}
	if !nested {
		slices.Sort(found)
		return slices.Compact(found)
	}
	found = found[:0]
	seen := make(map[GroupID]bool, len(from))
	queue := slices.Clone(from)
	for i := 0; i < len(queue); i++ {
		group, ok := known[queue[i]]
		if !ok || seen[queue[i]] {
			continue
		}
		seen[queue[i]] = true
		found = append(found, queue[i])
		queue = append(queue, group.Parents...)
	}
	slices.Sort(found)
	return found
}

// chains are the shortest ways from the person to the group, one for each of her
// own groups that leads there: each group of a chain is in the next.
func (s Subject) chains(to GroupID) [][]GroupID {
	if s.direct {
		if _, in := slices.BinarySearch(s.Groups, to); in {
			return [][]GroupID{{to}}
		}
		return nil
	}
	var all [][]GroupID
	direct := slices.Clone(s.Person.Groups)
	slices.Sort(direct)
	for _, first := range slices.Compact(direct) {
		if chain := shortest(s.known, first, to); chain != nil {
			all = append(all, chain)
		}
	}
	return all
}

// shortest is the way up from a group to another, breadth first, both included.
func shortest(known map[GroupID]Group, from, to GroupID) []GroupID {
	came := map[GroupID]GroupID{from: ""}
	queue := []GroupID{from}
	for i := 0; i < len(queue); i++ {
		group, ok := known[queue[i]]
		if !ok {
			continue
		}
		if queue[i] == to {
			chain := []GroupID{to}
			for chain[0] != from {
				chain = slices.Insert(chain, 0, came[chain[0]])
			}
			return chain
		}
		for _, parent := range group.Parents {
			if _, seen := came[parent]; !seen {
				came[parent] = queue[i]
				queue = append(queue, parent)
			}
		}
	}
	return nil
}
