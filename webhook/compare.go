package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"gatehouse/access"
	"gatehouse/store"
)

// told is what decided about a person when products were told of her: what her
// account said, and those of her groups that were granted something. Beside the
// policy and the instant it is all that it takes to know what she had then.
type told struct {
	UserName     string           `json:"userName"`
	ExternalID   string           `json:"externalId,omitempty"`
	Active       bool             `json:"active"`
	LoginAllowed bool             `json:"loginAllowed"`
	ExpiresAt    time.Time        `json:"expiresAt,omitzero"`
	Groups       []access.GroupID `json:"groups,omitempty"`
}

func tellOf(s access.Subject, name store.UserName, p policy) told {
	t := told{UserName: name.UserName, ExternalID: name.ExternalID,
		Active: s.Person.Active, LoginAllowed: s.Person.LoginAllowed, ExpiresAt: s.Person.ExpiresAt}
	for _, g := range s.Groups {
		if p.groups[g] {
			t.Groups = append(t.Groups, g)
		}
	}
	return t
}

func (t told) text() string {
	text, _ := json.Marshal(t) // texts, times and booleans: it can't fail
	return string(text)
}

// addTo puts the person into facts as she was.
func (t told) addTo(f access.Facts, id access.UserID) {
	f.People[id] = access.Person{ID: id, Active: t.Active, LoginAllowed: t.LoginAllowed, ExpiresAt: t.ExpiresAt, Groups: t.Groups}
	for _, g := range t.Groups {
		f.Groups[g] = access.Group{ID: g}
	}
}

func noFacts() access.Facts {
	return access.Facts{People: map[access.UserID]access.Person{}, Groups: map[access.GroupID]access.Group{}}
}

// said is what is to be written of people, in the order of their ids.
type said struct{ people []toSay }

// toSay is what is to be sent of a person and kept of her.
type toSay struct {
	id         store.UserID
	deliveries []store.Delivery
	// tell is what is kept, empty if nothing; same says that it is kept already.
	tell string
	same bool
}

// first takes the first people out.
func (s *said) first(n int) said {
	n = min(n, len(s.people))
	part := said{s.people[:n]}
	s.people = s.people[n:]
	return part
}

// number gives the deliveries their places behind those of the feed.
func (s said) number(feed *store.Feed) {
	for _, p := range s.people {
		for i := range p.deliveries {
			feed.Seq++
			p.deliveries[i].Seq = feed.Seq
		}
	}
}

func (s said) save(tx *store.Tx) error {
	tell := map[store.UserID]string{}
	for _, p := range s.people {
		if !p.same {
			tell[p.id] = p.tell
		}
		tx.QueueDeliveries(p.deliveries)
	}
	tx.Tell(tell)
	return nil
}

// compare finds what changed for people between what was told of them and now.
// Without facts it reads them one by one.
func (p *planner) compare(ctx context.Context, feed store.Feed, ps pass, hooks []store.Webhook, ids []store.UserID, facts *access.Facts) (said, error) {
	if len(ids) == 0 {
		return said{}, nil
	}
	old, err := p.policy(ctx, feed.Revision)
	if err != nil {
		return said{}, err
	}
	now, err := p.policy(ctx, ps.Revision)
	if err != nil {
		return said{}, err
	}
	kept, err := p.store.Told(ctx, p.tenant, ids)
	if err != nil {
		return said{}, err
	}
	names, err := p.store.UserNames(ctx, p.tenant, ids)
	if err != nil {
		return said{}, err
	}
	c := comparison{hooks: hooks, at: ps.At, ended: ps.Ended, old: old, now: now, was: map[store.UserID]told{}, is: map[store.UserID]told{}}
	for _, id := range ids {
		subject, err := p.subject(ctx, id, facts)
		if err != nil {
			return said{}, err
		}
		if subject.Person.ID != "" {
			c.is[id] = tellOf(subject, names[id], now)
		}
		if text, ok := kept[id]; ok {
			var was told
			if err := json.Unmarshal([]byte(text), &was); err != nil {
				return said{}, fmt.Errorf("told of %s: %w", id, err)
			}
			c.was[id] = was
		}
	}
	c.before, c.after = access.State{Policy: old.Policy, At: feed.At.Time}, access.State{Policy: now.Policy, At: ps.At}
	if err := c.run(ids); err != nil {
		return said{}, err
	}
	var s said
	for _, id := range ids {
		one := toSay{id: id, deliveries: c.deliveries[id]}
		if is, ok := c.is[id]; ok {
			one.tell = is.text()
		}
		one.same = one.tell == kept[id]
		if !one.same || len(one.deliveries) > 0 {
			s.people = append(s.people, one)
		}
	}
	return s, nil
}

// subject gives a person as she is now; the zero Subject when she isn't there.
func (p *planner) subject(ctx context.Context, id store.UserID, facts *access.Facts) (access.Subject, error) {
	if facts != nil {
		return facts.Subject(access.UserID(id)), nil
	}
	s, _, err := p.store.Subject(ctx, p.tenant, store.Who{ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return access.Subject{}, nil
	}
	return s, err
}

// comparison makes events of what was and what is.
type comparison struct {
	hooks         []store.Webhook
	at            time.Time
	ended         map[store.UserID]string
	old, now      policy
	was, is       map[store.UserID]told
	before, after access.State
	deliveries    map[store.UserID][]store.Delivery
}

func (c *comparison) run(ids []store.UserID) error {
	c.deliveries = map[store.UserID][]store.Delivery{}
	stayed, returned := newCrowd(), newCrowd()
	for _, id := range ids {
		was, known := c.was[id]
		is, there := c.is[id]
		_, ended := c.ended[id]
		to := stayed
		if ended && there && is.live(c.after.At) {
			to = returned
		}
		if ended {
			to.ended = append(to.ended, access.UserID(id))
		}
		if known {
			was.addTo(to.was, access.UserID(id))
		}
		if there {
			is.addTo(to.is, access.UserID(id))
		}
	}
	// Whose account ended and lives again had nothing in between, and is told so:
	// nothing older may revive.
	for _, step := range []struct {
		before, after access.State
		ended         []access.UserID
	}{
		{with(c.before, stayed.was), with(c.after, stayed.is), stayed.ended},
		{with(c.before, returned.was), with(c.before, noFacts()), returned.ended},
		{with(c.after, noFacts()), with(c.after, returned.is), nil},
	} {
		impacts := access.Diff(step.before, step.after)
		for i := range impacts {
			ended := impacts[i].Before && !impacts[i].After || slices.Contains(step.ended, impacts[i].User)
			if err := c.tell(impacts[i], ended, step.after); err != nil {
				return err
			}
		}
		for _, id := range step.ended {
			if slices.ContainsFunc(impacts, func(i access.Impact) bool { return i.User == id }) {
				continue
			}
			// She may be known to products all the same: they ask by themselves too.
			if err := c.tell(access.Impact{User: id}, true, step.after); err != nil {
				return err
			}
		}
	}
	return nil
}

// crowd are people as they were and as they are.
type crowd struct {
	was, is access.Facts
	ended   []access.UserID
}

func newCrowd() *crowd { return &crowd{was: noFacts(), is: noFacts()} }

func (t told) live(at time.Time) bool {
	p := access.Person{Active: t.Active, LoginAllowed: t.LoginAllowed, ExpiresAt: t.ExpiresAt}
	return p.Live(at)
}

// tell adds the events of an impact, which leaves things as they are in after.
func (c *comparison) tell(impact access.Impact, ended bool, after access.State) error {
	id := store.UserID(impact.User)
	name, there := c.is[id]
	if !there {
		name = c.was[id]
		name.UserName = cmp.Or(name.UserName, c.ended[id])
	}
	who := user{ID: id, UserName: name.UserName, ExternalID: name.ExternalID, Active: impact.After, Deleted: !there}
	held := after.Policy.Held(after.Facts.Subject(impact.User), after.At)
	for _, hook := range c.hooks {
		if ended {
			if err := c.queue(hook, id, UserDeactivated, deactivated{Product: hook.Product, User: who}); err != nil {
				return err
			}
		}
		changes := changesIn(hook.Product, impact.Differences, c.old.Policy, c.now.Policy)
		if len(changes) == 0 {
			continue
		}
		err := c.queue(hook, id, AccessChanged, changed{Product: hook.Product, User: who, Changes: changes, Access: itemsIn(hook.Product, held, after.Policy)})
		if err != nil {
			return err
		}
	}
	return nil
}

// queue adds an event for a webhook. While that is disabled the event is dead from
// the start, to be retried once it works again.
func (c *comparison) queue(hook store.Webhook, id store.UserID, kind string, data any) error {
	body, err := message(kind, c.at, data)
	if err != nil {
		return err
	}
	d := store.Delivery{ID: store.DeliveryID(uuid.Must(uuid.NewV7()).String()), WebhookID: hook.ID, UserID: id, Type: kind, Body: body,
		CreatedAt: store.At(c.at), State: store.DeliveryWaiting, NextAt: store.At(c.at)}
	if !hook.DisabledAt.IsZero() {
		d.State, d.Error, d.EndedAt = store.DeliveryDead, hook.DisabledWhy, d.CreatedAt
	}
	c.deliveries[id] = append(c.deliveries[id], d)
	return nil
}

// with is a state about other people.
func with(st access.State, f access.Facts) access.State {
	st.Facts = f
	return st
}
