package access

import "time"

// Grant gives somebody something in a product, or takes it away. Role and scope
// are one: two grants never add up to the role of one at the sites of the other.
// It names exactly one of a role, a permission at a level, or an attribute.
type Grant struct {
	ID      GrantID   `json:"id"`
	Subject Grantee   `json:"subject"`
	Effect  Effect    `json:"effect"`
	Product ProductID `json:"product"`

	Role RoleID `json:"role,omitempty"`

	// Permission may be AllPermissions: a deny of all at the lowest level shuts
	// somebody out of a product.
	Permission PermissionID `json:"permission,omitempty"`
	Level      Level        `json:"level,omitempty"`

	// Attribute is what the product is told about the person, such as engineer, with
	// its Value. It gives no access, so it has no scope, and it can't be denied.
	Attribute string `json:"attribute,omitempty"`
	Value     string `json:"value,omitempty"`

	Scope Scope `json:"scope,omitzero"`
	// Mask takes single permissions out of this grant; the role stays as it is for
	// everybody else. AllPermissions takes out all. A deny has none.
	Mask []PermissionID `json:"mask,omitempty"`

	// From and Until say when the grant is in force: at From already, at Until no
	// more. The zero time is no limit.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`

	// Reason is why, in somebody's words; Origin is what made the grant.
	Reason string `json:"reason,omitempty"`
	Origin Origin `json:"origin,omitempty"`
}

// Grantee is whom a grant is for: one user, one group, or everyone. Exactly one
// of the three is set.
type Grantee struct {
	User     UserID  `json:"user,omitempty"`
	Group    GroupID `json:"group,omitempty"`
	Everyone bool    `json:"everyone,omitempty"`
}

// Effect says whether a grant gives or takes away.
type Effect string

// The effects. A deny at a level takes away that level and everything above it.
const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// Origin is what made a grant. A sync never touches what a sync did not make.
type Origin string

// The origins.
const (
	OriginMapping    Origin = "mapping"
	OriginDirect     Origin = "direct"
	OriginInvitation Origin = "invitation"
	OriginBaseline   Origin = "baseline"
	OriginImport     Origin = "import"
)

// InForce reports whether the grant counts at the instant.
func (g *Grant) InForce(at time.Time) bool { return !at.Before(g.From) && !g.ended(at) }

func (g *Grant) ended(at time.Time) bool { return !g.Until.IsZero() && !at.Before(g.Until) }

// Scope is where a grant reaches. The zero Scope covers nothing, so a grant saved
// without sites opens no door. Between dimensions it is and, within one it is or.
type Scope struct {
	// Everywhere is ALL for the whole product, in every dimension that it has or
	// gets later. Nothing else reaches a product without dimensions, nor a question
	// about the product as a whole if there are dimensions that Sites doesn't name.
	Everywhere bool `json:"everywhere,omitempty"`
	// Sites says where in each dimension. An allow reaches nothing if it leaves out
	// a dimension of the product; a deny counts there as ALL.
	Sites map[DimensionID]Selection `json:"sites,omitempty"`
}

// Selection is a part of a dimension: ALL of it, sites added later too, or the
// sites listed with everything below them. The zero Selection is nothing.
type Selection struct {
	All   bool     `json:"all,omitempty"`
	Sites []SiteID `json:"sites,omitempty"`
}

// Zero reports whether the scope says nothing, and so covers nothing.
func (s Scope) Zero() bool { return !s.Everywhere && len(s.Sites) == 0 }

// Place is where something is to be done: one site in each dimension of the
// product. A dimension that it leaves out is asked about as a whole: an allow has
// to say ALL there, and a deny anywhere in it counts.
type Place map[DimensionID]SiteID
