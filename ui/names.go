package ui

import (
	"context"
	"strings"
	"time"

	"gatehouse/access"
)

// The names of the console's own product, permissions and roles, and of levels that
// products commonly have, are ours to say in the reader's language. Other names are
// the tenant's.

// policy is a policy in which the console speaks the reader's language.
func (w *words) policy(p *access.Policy) *access.Policy {
	if p == nil || w.lang == languages[0] { // as package access calls them
		return p
	}
	return p.Renamed(access.ConsoleID, func(permission access.PermissionID, role access.RoleID) string {
		key := "console"
		switch {
		case permission != "":
			key = "console.permission." + string(permission)
		case role != "":
			key = "console.role." + string(role)
		}
		return w.texts[key].Other // a text that is missing fails the tests
	})
}

// policyAt is the policy of an instant, for the visitor to read.
func (v *visit) policyAt(ctx context.Context, at time.Time) (*access.Policy, error) {
	p, err := v.server.store.PolicyAt(ctx, v.tenant(), at)
	return v.words.policy(p), err
}

// level is what people call a level; "" is none. One whose name is what the console
// says of no level stands in quotation marks.
func (w *words) level(l access.Level) string {
	if text, ok := w.texts["level."+string(l)]; ok && text.Other != "" {
		return text.Other
	}
	for _, none := range noLevel {
		if strings.EqualFold(string(l), w.t(none)) {
			return w.t("format.quoted", "text", l)
		}
	}
	return string(l)
}

// noLevel are the keys of what stands where there is no level.
var noLevel = []string{"impact.none", "because.none", "products.nothing"}
