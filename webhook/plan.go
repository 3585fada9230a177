package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"gatehouse/access"
	"gatehouse/store"
)

const (
	// followEvery is how often the log is looked at while nothing happens.
	followEvery = 250 * time.Millisecond
	// maxChanges is how many changes are taken at a time.
	maxChanges = 200
	// maxWritten bounds the people that one transaction writes about, since on SQLite
	// nobody else writes meanwhile.
	maxWritten = 50
	// maxCompared bounds the people that are compared at a time.
	maxCompared = 2000
	// maxListed is up to how many people are listed by name; beyond, everybody of the
	// tenant is gone through.
	maxListed = 20_000
	// reviewEvery is how often everybody is gone through although nothing asks for
	// it: should a change ever be misread, it is told all the same.
	reviewEvery = time.Hour
	sweepEvery  = time.Minute
)

// planner turns the changes of one tenant into deliveries.
type planner struct {
	*Dispatcher
	tenant store.TenantID
	// lanes are told when there is something to send.
	lanes *lanes
	// policies are those that the feed names.
	policies map[store.Revision]policy
	// version and cursor are how far the log was read without finding anything, which
	// isn't worth writing down.
	version int64
	cursor  string

	reviewed, swept time.Time
}

type policy struct {
	*access.Policy
	catalogue access.Catalogue
	// groups are those that are granted something.
	groups map[access.GroupID]bool
}

// pass is a step that concerns several people. They are gone through in the order
// of their ids; each transaction writes what it has to say of some of them, and who
// was the last.
type pass struct {
	// Cursor, Revision and At are what has been told when all are done.
	Cursor   string         `json:"cursor"`
	Revision store.Revision `json:"revision"`
	At       time.Time      `json:"at"`
	// People are those that something may have changed for; Everyone is instead.
	People   []store.UserID `json:"people,omitempty"`
	Everyone bool           `json:"everyone,omitempty"`
	// Ended are those whose account ended on the way, by the name that they had, even
	// if it is live again or nobody was told that it had begun.
	Ended map[store.UserID]string `json:"ended,omitempty"`
}

// serve works for a tenant until ctx ends.
func (d *Dispatcher) serve(ctx context.Context, tenant store.TenantID) {
	var all sync.WaitGroup
	defer all.Wait()
	p := &planner{Dispatcher: d, tenant: tenant, policies: map[store.Revision]policy{}, reviewed: time.Now(),
		lanes: &lanes{Dispatcher: d, tenant: tenant, all: &all, running: map[store.WebhookID]*lane{}}}
	for {
		more, err := p.step(ctx)
		d.complain(ctx, "webhooks: follow the log", tenant, err)
		wait := followEvery
		switch {
		case err != nil:
			wait = time.Second
		case more:
			wait = 0
		}
		if !pause(ctx, wait, nil) {
			return
		}
	}
}

// step takes the next step, and reports whether there may be more to do at once.
func (p *planner) step(ctx context.Context) (more bool, err error) {
	feed, err := p.store.Feed(ctx, p.tenant)
	if err != nil {
		return false, err
	}
	if feed.Holder != p.me {
		return false, store.ErrStale // and soon nobody calls us any more
	}
	hooks, err := p.store.Webhooks(ctx, p.tenant)
	if err != nil {
		return false, err
	}
	p.lanes.keep(ctx, hooks)
	if err := p.sweep(ctx); err != nil {
		return false, err
	}
	if len(hooks) == 0 {
		return p.end(ctx, feed)
	}
	if feed.Revision == "" {
		return true, p.begin(ctx, feed)
	}
	if feed.Pass != "" {
		var ps pass
		if err := json.Unmarshal([]byte(feed.Pass), &ps); err != nil {
			return false, fmt.Errorf("pass: %w", err)
		}
		return true, p.run(ctx, feed, ps, hooks)
	}
	if p.version != feed.Version {
		p.version, p.cursor = feed.Version, feed.Cursor
	}
	return p.follow(ctx, feed, hooks)
}

// write takes a step from feed and gives the feed after it.
func (p *planner) write(ctx context.Context, feed store.Feed, f func(*store.Tx) error) (after store.Feed, err error) {
	err = p.store.Write(ctx, actor(p.tenant), func(tx *store.Tx) (err error) {
		if after, err = tx.SaveFeed(ctx, feed); err != nil {
			return err
		}
		return f(tx)
	})
	return after, err
}

// begin finds out what people had when the first webhook was added: products are
// told what changes, not what is.
func (p *planner) begin(ctx context.Context, feed store.Feed) error {
	doc, _, err := p.store.PolicyDoc(ctx, p.tenant, feed.At.Time)
	if err != nil {
		return err
	}
	at, err := readPolicy(doc)
	if err != nil {
		return err
	}
	facts, err := p.store.FactsAt(ctx, p.tenant, feed.At.Time)
	if err != nil {
		return err
	}
	ids, err := p.store.ToldOf(ctx, p.tenant) // from a webhook that was removed
	if err != nil {
		return err
	}
	for id := range facts.People {
		ids = append(ids, store.UserID(id))
	}
	slices.Sort(ids)
	for chunk := range slices.Chunk(slices.Compact(ids), maxWritten) {
		names, err := p.store.UserNames(ctx, p.tenant, chunk)
		if err != nil {
			return err
		}
		tell := map[store.UserID]string{}
		for _, id := range chunk {
			tell[id] = ""
			if _, ok := facts.People[access.UserID(id)]; ok {
				tell[id] = tellOf(facts.Subject(access.UserID(id)), names[id], at).text()
			}
		}
		feed, err = p.write(ctx, feed, func(tx *store.Tx) error { tx.Tell(tell); return nil })
		if err != nil {
			return err
		}
	}
	feed.Revision = store.Revision(uuid.NewString()) // of nobody else's: it is compared with what is now
	_, err = p.write(ctx, feed, func(tx *store.Tx) error { return tx.KeepPolicy(ctx, feed.Revision, doc) })
	return err
}

// end forgets what was told when there is nobody left to tell.
func (p *planner) end(ctx context.Context, feed store.Feed) (more bool, err error) {
	var done bool
	err = p.store.Write(ctx, actor(p.tenant), func(tx *store.Tx) (err error) {
		done, err = tx.EndFeed(ctx, feed, maxWritten)
		return err
	})
	return err == nil && !done, err
}

// follow reads the log on, and tells whom it concerns.
func (p *planner) follow(ctx context.Context, feed store.Feed, hooks []store.Webhook) (more bool, err error) {
	ps := pass{Revision: feed.Revision, At: p.store.Now(), Ended: map[store.UserID]string{}}
	if ps.At.Before(feed.At.Time) {
		ps.At = feed.At.Time // a clock that is behind that of the holder before
	}
	changes, next, err := p.store.ChangesSince(ctx, p.tenant, p.cursor, maxChanges)
	switch {
	case errors.Is(err, store.ErrCursor):
		// A database that was restored: what it holds now is what counts.
		ps.Everyone = true
		next, err = p.store.Head(ctx)
	case err == nil:
		err = p.touched(ctx, changes, &ps)
	}
	if err != nil {
		return false, err
	}
	ps.Cursor = next

	// Policy and people are read after the changes, so they hold at least those.
	doc, err := p.policyChanged(ctx, feed, &ps)
	if err != nil {
		return false, err
	}
	if err := p.timePassed(ctx, feed, &ps); err != nil {
		return false, err
	}
	if time.Since(p.reviewed) >= reviewEvery {
		ps.Everyone, p.reviewed = true, time.Now()
	}
	slices.Sort(ps.People)
	ps.People = slices.Compact(ps.People)
	if len(ps.People) > maxListed {
		ps.Everyone = true
	}
	if ps.Everyone {
		ps.People = nil
	}

	more = len(changes) == maxChanges
	if !ps.Everyone && len(ps.People) == 0 && doc == nil && len(changes) == 0 {
		p.cursor = next
		return more, nil
	}
	if !ps.Everyone && len(ps.People) <= maxWritten {
		s, err := p.compare(ctx, feed, ps, hooks, ps.People, nil)
		if err != nil {
			return false, err
		}
		_, err = p.finish(ctx, feed, ps, doc, s)
		return more, err
	}
	text, err := json.Marshal(ps)
	if err != nil {
		return false, err
	}
	feed.Pass, feed.Done = string(text), ""
	feed, err = p.write(ctx, feed, func(tx *store.Tx) error {
		if doc == nil {
			return nil
		}
		return tx.KeepPolicy(ctx, ps.Revision, doc, feed.Revision)
	})
	if err != nil {
		return false, err
	}
	return true, p.run(ctx, feed, ps, hooks)
}

// touched notes whom changes concern.
func (p *planner) touched(ctx context.Context, changes []store.Change, ps *pass) error {
	var named []string
	for _, c := range changes {
		switch c.SubjectKind {
		case "user":
			ps.People = append(ps.People, store.UserID(c.SubjectID))
			switch c.Action {
			case store.UserDeactivated, store.UserDeleted, store.PersonLoginBlocked:
				ps.Ended[store.UserID(c.SubjectID)] = c.SubjectName
			}
		case "group":
			switch c.Action {
			case store.GroupCreated, store.GroupUpdated:
				continue
			case store.MembersChanged:
				var detail struct {
					Named []string `json:"named"`
				}
				if err := json.Unmarshal([]byte(c.Detail), &detail); err == nil && len(detail.Named) > 0 {
					named = append(named, detail.Named...)
					continue
				}
			}
			users, groups, err := p.store.MembersTouched(ctx, p.tenant, store.GroupID(c.SubjectID), c.ID, maxListed)
			if err != nil {
				return err
			}
			ps.People = append(ps.People, users...)
			// Whoever is in a group within has lost or gained what is granted to this one.
			ps.Everyone = ps.Everyone || groups
		}
	}
	if len(named) == 0 || ps.Everyone {
		return nil
	}
	groups, err := p.store.AnyGroup(ctx, p.tenant, named)
	ps.Everyone = groups
	for _, id := range named {
		ps.People = append(ps.People, store.UserID(id))
	}
	return err
}

// policyChanged notes whom a change of policy concerns, and gives the new one's
// document, nil if it is the same.
func (p *planner) policyChanged(ctx context.Context, feed store.Feed, ps *pass) (doc []byte, err error) {
	revision, err := p.store.Revision(ctx, p.tenant)
	if err != nil || revision == feed.Revision {
		return nil, err
	}
	before, err := p.policy(ctx, feed.Revision)
	if err != nil {
		return nil, err
	}
	if doc, ps.Revision, err = p.store.PolicyDoc(ctx, p.tenant, time.Time{}); err != nil {
		return nil, err
	}
	after, err := readPolicy(doc)
	if err != nil {
		return nil, err
	}
	p.policies[ps.Revision] = after
	if !reflect.DeepEqual(before.catalogue, after.catalogue) {
		ps.Everyone = true
		return doc, nil
	}
	old, now := grantsByID(before), grantsByID(after)
	for _, pair := range [][2]map[access.GrantID]access.Grant{{old, now}, {now, old}} {
		for id, g := range pair[0] {
			if other, ok := pair[1][id]; !ok || !reflect.DeepEqual(g, other) {
				ps.concerns(g)
			}
		}
	}
	return doc, nil
}

func grantsByID(p policy) map[access.GrantID]access.Grant {
	all := map[access.GrantID]access.Grant{}
	for _, g := range p.Grants() {
		all[g.ID] = g
	}
	return all
}

// concerns notes whom a grant is for.
func (ps *pass) concerns(g access.Grant) {
	if g.Subject.User == "" {
		ps.Everyone = true
		return
	}
	ps.People = append(ps.People, store.UserID(g.Subject.User))
}

// timePassed notes whose account or grants began or ended by themselves.
func (p *planner) timePassed(ctx context.Context, feed store.Feed, ps *pass) error {
	now, err := p.policy(ctx, ps.Revision)
	if err != nil {
		return err
	}
	passed := func(t time.Time) bool { return t.After(feed.At.Time) && !t.After(ps.At) }
	for _, g := range now.Grants() {
		if passed(g.From) || passed(g.Until) {
			ps.concerns(g)
		}
	}
	expired, err := p.store.ExpiredBetween(ctx, p.tenant, feed.At.Time, ps.At)
	ps.People = append(ps.People, expired...)
	return err
}

// run goes through the people of a pass, from where it was left.
func (p *planner) run(ctx context.Context, feed store.Feed, ps pass, hooks []store.Webhook) error {
	// For a few it takes less to read them one by one.
	var facts *access.Facts
	if ps.Everyone || len(ps.People) > maxCompared {
		all, err := p.store.Facts(ctx, p.tenant)
		if err != nil {
			return err
		}
		facts = &all
	}
	ids := ps.People
	if ps.Everyone {
		var err error
		if ids, err = p.store.ToldOf(ctx, p.tenant); err != nil {
			return err
		}
		for id := range facts.People {
			ids = append(ids, store.UserID(id))
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	first, found := slices.BinarySearch(ids, store.UserID(feed.Done))
	if found {
		first++
	}
	for chunk := range slices.Chunk(ids[first:], maxCompared) {
		s, err := p.compare(ctx, feed, ps, hooks, chunk, facts)
		if err != nil {
			return err
		}
		for len(s.people) > 0 {
			part := s.first(maxWritten)
			feed.Done = string(part.people[len(part.people)-1].id)
			part.number(&feed)
			if feed, err = p.write(ctx, feed, part.save); err != nil {
				return err
			}
			p.lanes.wake()
		}
	}
	_, err := p.finish(ctx, feed, ps, nil, said{})
	return err
}

// finish takes the last step of a pass.
func (p *planner) finish(ctx context.Context, feed store.Feed, ps pass, doc []byte, s said) (store.Feed, error) {
	s.number(&feed)
	moved := feed.Revision != ps.Revision
	feed.Cursor, feed.Revision, feed.At, feed.Pass, feed.Done = ps.Cursor, ps.Revision, store.At(ps.At), "", ""
	feed, err := p.write(ctx, feed, func(tx *store.Tx) error {
		if moved {
			if err := tx.KeepPolicy(ctx, ps.Revision, doc); err != nil {
				return err
			}
		}
		return s.save(tx)
	})
	if err != nil {
		return feed, err
	}
	maps.DeleteFunc(p.policies, func(r store.Revision, _ policy) bool { return r != feed.Revision })
	p.lanes.wake()
	return feed, nil
}

// policy gives a policy that the feed names.
func (p *planner) policy(ctx context.Context, revision store.Revision) (policy, error) {
	if known, ok := p.policies[revision]; ok {
		return known, nil
	}
	doc, err := p.store.KeptPolicy(ctx, p.tenant, revision)
	if err != nil {
		return policy{}, err
	}
	read, err := readPolicy(doc)
	if err == nil {
		p.policies[revision] = read
	}
	return read, err
}

func readPolicy(doc []byte) (policy, error) {
	p, catalogue, err := store.ReadPolicy(doc)
	if err != nil {
		return policy{}, err
	}
	groups := map[access.GroupID]bool{}
	for _, g := range p.Grants() {
		groups[g.Subject.Group] = true
	}
	return policy{Policy: p, catalogue: catalogue, groups: groups}, nil
}

// sweep forgets old deliveries now and then.
func (p *planner) sweep(ctx context.Context) error {
	if time.Since(p.swept) < sweepEvery {
		return nil
	}
	n := 0
	err := p.store.Write(ctx, actor(p.tenant), func(tx *store.Tx) (err error) {
		n, err = tx.SweepDeliveries(ctx, p.store.Now().Add(-p.opts.Keep), maxWritten)
		return err
	})
	if err == nil && n < maxWritten {
		p.swept = time.Now()
	}
	return err
}
