package store

// Filter is a condition on users or groups: a SCIM filter (RFC 7644 §3.4.2.2)
// after the edge has checked its attributes against the schema. It is a closed
// set of types, so that the store can turn every one of them into SQL and
// nothing else ever reaches the database.
type Filter interface{ isFilter() }

// And holds when all of its parts hold; the empty And always holds.
type And []Filter

// Or holds when at least one of its parts holds; the empty Or never holds.
type Or []Filter

// Not holds when its part doesn't.
type Not struct{ Filter Filter }

// Compare holds when the attribute stands in relation Op to Value. For a
// multi-valued attribute it holds when some value does; NotEqual is the
// negation of Equal, so an absent attribute is not equal to anything.
type Compare struct {
	Attr Attr
	Op   Op
	// Value is a string (folded by Fold unless the attribute is case-exact; an
	// instant in SearchTime's form for TypeDateTime), a bool, a float64, or nil
	// for SCIM's null.
	Value any
}

// Present holds when the attribute has a non-empty value ("pr").
type Present struct{ Attr Attr }

// Some holds when one element of a multi-valued complex attribute fulfils the
// whole of Where: SCIM's value path, emails[type eq "work" and value co "@x"].
// The attributes of Where are relative to the element.
type Some struct {
	Attr  Attr
	Where Filter
}

// SameGroups holds for a user whose Groups, all together, have a Digest.
type SameGroups struct{ Digest string }

func (And) isFilter()        {}
func (Or) isFilter()         {}
func (Not) isFilter()        {}
func (Compare) isFilter()    {}
func (Present) isFilter()    {}
func (Some) isFilter()       {}
func (SameGroups) isFilter() {}

// Attr names an attribute of the searchable document.
type Attr struct {
	// Path holds the attribute's names in lower case, from the top of the
	// document down: {"username"}, {"name", "familyname"}, or
	// {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:user", "department"}.
	// A path comes from the schema, never from a request.
	Path []string
	Type AttrType
	// Multi says that the first element of Path is multi-valued.
	Multi bool
	// CaseExact says that values are compared as they are; otherwise both sides
	// have been folded by Fold.
	CaseExact bool
}

// AttrType says how values of an attribute compare (RFC 7643 §2.3).
type AttrType int

// The types of attributes; a reference or binary compares as a string.
const (
	TypeString AttrType = iota
	TypeBoolean
	TypeNumber
	TypeDateTime
	TypeComplex
)

// Op is a comparison of RFC 7644 §3.4.2.2.
type Op string

// The comparisons; "pr" is Present.
const (
	Equal          Op = "eq"
	NotEqual       Op = "ne"
	Contains       Op = "co"
	StartsWith     Op = "sw"
	EndsWith       Op = "ew"
	Greater        Op = "gt"
	GreaterOrEqual Op = "ge"
	Less           Op = "lt"
	LessOrEqual    Op = "le"
)
