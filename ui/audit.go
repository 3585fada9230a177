package ui

import (
	"context"
	"strings"

	"gatehouse/access"
	"gatehouse/store"
)

// sentence says what a change did: what kind of thing, what was done to it, and
// its name.
func (v *visit) sentence(c store.Change) string {
	_, verb, _ := strings.Cut(c.Action, ".")
	return strings.TrimSpace(v.words.t("audit.sentence", "what", c.SubjectKind, "verb", strings.ReplaceAll(verb, "_", " "), "name", c.SubjectName))
}

// actorNames are the names of the people who made changes.
func (s *Server) actorNames(ctx context.Context, v *visit, changes []store.Change) (map[string]string, error) {
	var people []access.UserID
	for _, c := range changes {
		if c.ActorKind == store.ActorPerson {
			people = append(people, access.UserID(c.ActorID))
		}
	}
	return s.store.Names(ctx, v.tenant(), people, nil)
}

// actorOf says who made a change.
func (v *visit) actorOf(c store.Change, names map[string]string) string {
	switch c.ActorKind {
	case store.ActorPerson:
		if name := names[c.ActorID]; name != "" {
			return name
		}
		return v.words.t("audit.gone")
	case store.ActorSCIM:
		return v.words.t("audit.scim")
	case store.ActorCLI:
		return v.words.t("audit.cli", "name", c.ActorID)
	}
	return v.words.t("audit.system")
}
