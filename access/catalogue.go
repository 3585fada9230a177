package access

// Catalogue is what there is to grant, and where: the products of a tenant, its
// dimensions and their sites. The product console is built in and not listed.
type Catalogue struct {
	Dimensions []Dimension `json:"dimensions,omitempty"`
	Sites      []Site      `json:"sites,omitempty"`
	Products   []Product   `json:"products,omitempty"`
}

// Dimension is a kind of place that products scope by. Its sites are a forest.
type Dimension struct {
	ID   DimensionID `json:"id"`
	Name string      `json:"name,omitempty"`
}

// Site is a node of a dimension's tree. Whoever has something at a site has it at
// everything below.
type Site struct {
	ID        SiteID      `json:"id"`
	Dimension DimensionID `json:"dimension"`
	// Key is what products call the site; unique in its dimension. A site without
	// one can't be asked about by key.
	Key  string `json:"key,omitempty"`
	Name string `json:"name,omitempty"`
	// Parent is the site above, of the same dimension; empty at the top.
	Parent SiteID `json:"parent,omitempty"`
	// Archived closes the site and everything below: nobody may do anything there,
	// whatever a grant says. Sites are archived rather than deleted.
	Archived bool `json:"archived,omitempty"`
}

// Product is something that people get access to.
type Product struct {
	ID   ProductID `json:"id"`
	Name string    `json:"name,omitempty"`
	// Levels are ordered from the least to the most; who has one has all before it.
	// A product that lists none has the level allow alone.
	Levels      []Level      `json:"levels,omitempty"`
	Permissions []Permission `json:"permissions,omitempty"`
	Roles       []Role       `json:"roles,omitempty"`
	// Dimensions are what the product scopes by. One without any is reached by
	// Scope.Everywhere alone.
	Dimensions []DimensionID `json:"dimensions,omitempty"`
	Rules      Rules         `json:"rules,omitzero"`
}

// LevelAllow is the only level of a product that doesn't list levels.
const LevelAllow Level = "allow"

// AllPermissions in a role stands for every permission of the product that the
// role doesn't name, those added later too.
const AllPermissions PermissionID = "*"

// Permission is something that may be done in a product.
type Permission struct {
	ID   PermissionID `json:"id"`
	Name string       `json:"name,omitempty"`
	// Tags are what rules speak of, such as sensitive.
	Tags []string `json:"tags,omitempty"`
}

// Role is a named bundle of permissions in a product.
type Role struct {
	ID   RoleID `json:"id"`
	Name string `json:"name,omitempty"`
	// Permissions says how much of each; a permission named here doesn't fall under
	// AllPermissions.
	Permissions map[PermissionID]Level `json:"permissions,omitempty"`
	// Personal roles go to single people: granted to a group or to everyone they
	// give nothing, so that no identity provider can hand them out.
	Personal bool `json:"personal,omitempty"`
}

// Rules are what a product wants its administrators to keep to. They decide no
// access: Lint says where they are broken.
type Rules struct {
	// OneRole wants each person to have one role of the product at most.
	OneRole bool         `json:"oneRole,omitempty"`
	Limits  []Limit      `json:"limits,omitempty"`
	Holders []HolderRule `json:"holders,omitempty"`
}

// Limit is what people of a kind may not be given.
type Limit struct {
	Kind Kind `json:"kind"`
	// MaxLevel is the highest level that they may have; empty is no limit.
	MaxLevel Level `json:"maxLevel,omitempty"`
	// ForbidTags are the tags of permissions that they may not have at all.
	ForbidTags []string `json:"forbidTags,omitempty"`
	// ForbidAll forbids grants that say ALL in any dimension.
	ForbidAll bool `json:"forbidAll,omitempty"`
}

// HolderRule is how many live people a role needs.
type HolderRule struct {
	Role RoleID `json:"role"`
	// Fewer than Warn is a warning, fewer than Refuse is refused; so is more than
	// Max, unless that is 0.
	Warn   int `json:"warn,omitempty"`
	Refuse int `json:"refuse,omitempty"`
	Max    int `json:"max,omitempty"`
}
