package ui

import (
	"context"
	"sync"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// alarm is people taken away in numbers by a provider: it was done as it asked, and
// somebody has to look.
type alarm struct {
	Text  string
	At    when
	Names []factLine
	More  int
	// Links are where to undo what can be undone here.
	Links []factLine

	connection store.ConnectionID
}

const (
	// alarmNames is how many people an alarm names.
	alarmNames = 20
	// alarmAge is how old an alarm's look may be: it reads the log of a day.
	alarmAge = 15 * time.Second
)

// alarms are those of the last day.
func (s *Server) alarms(ctx context.Context, v *visit) ([]alarm, error) {
	found, err := s.massRemovals(ctx, v)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return nil, err
	}
	names := map[store.ConnectionID]string{}
	for _, c := range connections {
		names[c.ID] = c.Name
	}
	var all []alarm
	for _, m := range found {
		a := alarm{At: v.instant(m.At), connection: m.Connection}
		values := []any{"name", names[m.Connection], "of", m.Of}
		if m.Group == "" {
			a.Text = v.words.n("sync.alarm.people", len(m.People), values...)
		} else {
			group, err := s.groupName(ctx, v, m.Group)
			if err != nil {
				return nil, err
			}
			a.Text = v.words.n("sync.alarm.group", len(m.People), append(values, "group", group)...)
		}
		for _, one := range m.People[:min(len(m.People), alarmNames)] {
			line := factLine{Text: one.Name}
			if !one.Deleted {
				line.Href = v.link("/people/" + string(one.ID))
			}
			a.Names = append(a.Names, line)
		}
		a.More = len(m.People) - len(a.Names)
		for _, to := range []struct{ text, href string }{
			{"sync.alarm.requests", "/sync/" + string(m.Connection) + "/requests"},
			{"sync.alarm.mappings", "/mappings?state=sleeping"},
			{"sync.alarm.audit", "/audit"},
		} {
			if href := v.link(to.href); href != "" {
				a.Links = append(a.Links, factLine{Text: v.words.t(to.text), Href: href})
			}
		}
		all = append(all, a)
	}
	return all, nil
}

func (s *Server) massRemovals(ctx context.Context, v *visit) ([]store.MassRemoval, error) {
	return s.alarmed.of(v.tenant(), alarmAge, func() ([]store.MassRemoval, error) {
		var mapped []access.GroupID
		for _, g := range v.policy.Grants() {
			if g.Subject.Group != "" {
				mapped = append(mapped, g.Subject.Group)
			}
		}
		return s.store.MassRemovals(ctx, v.tenant(), mapped, v.now.Add(-recent))
	})
}

// failingAge is how old the look for failing connections may be: every page has it.
const failingAge = 5 * time.Second

// failing are the connections that refused something lately, for whoever sees them.
func (v *visit) failing() []store.ConnectionID {
	if !v.mayAt(access.ConsoleConnections, access.LevelView, nil) {
		return nil
	}
	s := v.server
	found, err := s.refusing.of(v.tenant(), failingAge, func() ([]store.ConnectionID, error) {
		return s.store.Failing(v.ctx, v.tenant(), v.now.Add(-recent))
	})
	if err != nil {
		s.log.Warn("look for failing connections", "error", err, "request", v.id)
	}
	return found
}

// looks keeps what the last look at something found, for each tenant.
type looks[T any] struct {
	mu  sync.Mutex
	all map[store.TenantID]look[T]
}

type look[T any] struct {
	at    time.Time
	found T
}

// of gives what was found not longer than age ago, or looks again.
func (l *looks[T]) of(tenant store.TenantID, age time.Duration, again func() (T, error)) (T, error) {
	l.mu.Lock()
	last, ok := l.all[tenant]
	l.mu.Unlock()
	if ok && time.Since(last.at) < age {
		return last.found, nil
	}
	found, err := again()
	if err != nil {
		return found, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil || len(l.all) >= 1000 {
		l.all = map[store.TenantID]look[T]{}
	}
	l.all[tenant] = look[T]{time.Now(), found}
	return found, nil
}

// groupName is what a group is called; one that was deleted has no name any more.
func (s *Server) groupName(ctx context.Context, v *visit, id access.GroupID) (string, error) {
	names, err := s.store.Names(ctx, v.tenant(), nil, []access.GroupID{id})
	if err != nil || names[string(id)] != "" {
		return names[string(id)], err
	}
	return v.words.t("sync.alarm.gone"), nil
}
