// Package access is the pure core: what a person may do, in which product, at
// which places, and why. It uses the standard library only and knows neither
// database nor HTTP; the edges and the store speak its words. One rule decides
// everything:
//
//	An account that is not live has no access. Otherwise take every grant in
//	force for the person, their groups and everyone. A grant reaches a place if
//	in every dimension it names ALL, or a site that is the place or above it. For
//	a permission, a deny at a level takes away that level and everything above
//	it, and nothing overrides it; of what remains, the highest allowed level
//	counts; nothing counts as no. Every answer names the grants that decided it.
//
// Policy is what is granted: products, sites and grants, made once into an
// immutable snapshot. Facts are who there is. Both are of an instant, and the
// instant is an argument, so that yesterday is answered by yesterday's policy
// and facts with the same functions.
//
//	policy, err := access.NewPolicy(catalogue, grants)
//	ann := facts.Subject("ann")
//	question := access.Question{Product: "clicktime", Permission: "timesheet", Level: "view", Place: access.Place{"site": "sydney"}}
//	policy.Allows(ann, question, now)          // true
//	policy.Explain(ann, question, now)         // through which group and grant, or what is missing
//	access.Diff(access.State{…}, access.State{…}) // who would gain and who would lose
//
// Whatever is uncertain closes. An allow that names something unknown gives
// nothing; a deny that can't be read completely is taken at its widest. Both are
// listed by Policy.Problems.
package access

// The kinds of identifier. Products, permissions, levels, roles and dimensions
// are named by short keys that products and files use, and roles, permissions
// and levels are names within their product. The others are opaque and are never
// used again, so that nothing can be inherited from the deleted.
type (
	// ProductID names something that people get access to: clicktime.
	ProductID string
	// PermissionID names what may be done in a product: timesheet.
	PermissionID string
	// Level names how much of a permission: view, maintain. Their order is the
	// product's.
	Level string
	// RoleID names a bundle of permissions of a product: supervisor.
	RoleID string
	// DimensionID names a kind of place: site, region, department, team.
	DimensionID string
	// SiteID identifies a node of a dimension's tree.
	SiteID string
	// GrantID identifies a grant.
	GrantID string
	// UserID identifies a person.
	UserID string
	// GroupID identifies a group.
	GroupID string
)
