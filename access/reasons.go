package access

// Reason is why an answer is no, or what is wrong with a grant: a stable code for
// machines. Explain ranks them in this order.
type Reason string

// What is wrong with the question: nobody has such a thing.
const (
	UnknownProduct    Reason = "unknown_product"
	UnknownPermission Reason = "unknown_permission"
	UnknownLevel      Reason = "unknown_level"
	UnknownDimension  Reason = "unknown_dimension"
	UnknownSite       Reason = "unknown_site"
	ArchivedSite      Reason = "archived_site"
)

// Why an account is not live.
const (
	UnknownPerson  Reason = "unknown_person"
	NotActive      Reason = "not_active"      // the identity provider says so
	LoginBlocked   Reason = "login_blocked"   // we say so
	AccountExpired Reason = "account_expired" // its end has come
	NoInstant      Reason = "no_instant"      // the question was about no time at all
)

// What stands between a person and a grant: those that she has are nearer than
// those of groups that she isn't in.
const (
	Denied        Reason = "denied" // a deny takes it away, whatever else is granted
	GrantExpired  Reason = "grant_expired"
	NotYetValid   Reason = "not_yet_valid"
	OtherSite     Reason = "other_site"     // the grant is for other places
	LevelTooLow   Reason = "level_too_low"  // less of it is granted
	Masked        Reason = "masked"         // this grant leaves the permission out
	NotMember     Reason = "not_member"     // the grant is for a group that the person isn't in
	NothingGrants Reason = "nothing_grants" // no grant gives this to any group
)

// What is wrong with a grant itself, beside the unknown names above.
const (
	UnknownRole      Reason = "unknown_role"
	PersonalRole     Reason = "personal_role"      // the role is for single people
	NoScope          Reason = "no_scope"           // it says nowhere
	DimensionLeftOut Reason = "dimension_left_out" // it says nothing about one of the product's dimensions
	MaskedDeny       Reason = "masked_deny"        // the mask of a deny is not followed
)

var reasonOrder = func() map[Reason]int {
	order := make(map[Reason]int)
	for i, reason := range []Reason{
		UnknownProduct, UnknownPermission, UnknownLevel, UnknownDimension, UnknownSite, ArchivedSite,
		UnknownPerson, NotActive, LoginBlocked, AccountExpired, NoInstant, Denied,
		GrantExpired, NotYetValid, OtherSite, LevelTooLow, Masked,
		UnknownRole, PersonalRole, NoScope, DimensionLeftOut, MaskedDeny, NotMember, NothingGrants,
	} {
		order[reason] = i
	}
	return order
}()

// Mend is the console's permission of those who could mend it; empty if nobody
// here can, but the identity provider or the product that asked.
func (r Reason) Mend() PermissionID {
	switch r {
	case UnknownPerson, NotActive, NoInstant:
		return ""
	case LoginBlocked, AccountExpired:
		return ConsolePeople
	case UnknownProduct, UnknownPermission, UnknownLevel, UnknownDimension:
		return ConsoleProducts
	case UnknownSite, ArchivedSite:
		return ConsoleSites
	}
	return ConsoleAccess
}
