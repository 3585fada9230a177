package access

import (
	"cmp"
	"slices"
)

// Finding is a rule of a product that isn't kept. Findings can be compared, so
// that a change is held to those that it makes: see NewFindings.
type Finding struct {
	Product ProductID   `json:"product"`
	Rule    FindingRule `json:"rule"`
	// Refuse says that a change which makes this finding is to be refused.
	Refuse bool `json:"refuse,omitempty"`
	// User, Role, Permission and Grant are who and what, where it applies.
	User       UserID       `json:"user,omitempty"`
	Role       RoleID       `json:"role,omitempty"`
	Permission PermissionID `json:"permission,omitempty"`
	Grant      GrantID      `json:"grant,omitempty"`
}

// FindingRule is a stable code for machines.
type FindingRule string

// The rules that Lint looks at.
const (
	RuleOneRole     FindingRule = "one_role"
	RuleMaxLevel    FindingRule = "max_level"
	RuleForbidTag   FindingRule = "forbid_tag"
	RuleForbidAll   FindingRule = "forbid_all"
	RuleFewHolders  FindingRule = "few_holders"
	RuleManyHolders FindingRule = "many_holders"
)

// Lint finds where the products' rules aren't kept by what live people are
// granted, product by product and person by person. It looks at grants as they
// stand, denies or not, since a deny may end. What somebody may not be given they
// may not be given for later either.
func Lint(st State) []Finding {
	var all []Finding
	holders := make(map[ProductID]map[RoleID]int)
	for _, id := range sortedKeys(st.Facts.People) {
		s := st.Facts.Subject(id)
		roles := make(map[ProductID][]RoleID)
		if !s.Person.Live(st.At) {
			continue
		}
		for _, r := range st.Policy.rulesFor(&s) {
			if r.Effect != Allow || r.ranks == nil || r.ended(st.At) {
				continue
			}
			if r.Role != "" && r.InForce(st.At) && !slices.Contains(roles[r.Product], r.Role) {
				roles[r.Product] = append(roles[r.Product], r.Role)
			}
			all = append(all, r.limits(&s.Person)...)
		}
		for product, held := range roles {
			if len(held) > 1 && st.Policy.products[product].Rules.OneRole {
				all = append(all, Finding{Product: product, Rule: RuleOneRole, User: id})
			}
			for _, role := range held {
				if holders[product] == nil {
					holders[product] = make(map[RoleID]int)
				}
				holders[product][role]++
			}
		}
	}
	for _, pr := range st.Policy.ordered {
		for _, rule := range pr.Rules.Holders {
			all = append(all, rule.findings(pr.ID, holders[pr.ID][rule.Role])...)
		}
	}
	slices.SortStableFunc(all, compareFindings)
	return slices.Compact(all)
}

// NewFindings are the findings of after that before doesn't have, and whether
// one of them is to be refused.
func NewFindings(before, after State) (all []Finding, refuse bool) {
	old := make(map[Finding]bool)
	for _, f := range Lint(before) {
		old[f] = true
	}
	for _, f := range Lint(after) {
		if !old[f] {
			all = append(all, f)
			refuse = refuse || f.Refuse
		}
	}
	return all, refuse
}

// limits are the limits of the person's kind that a grant passes.
func (r *rule) limits(person *Person) []Finding {
	var all []Finding
	for _, limit := range r.product.Rules.Limits {
		if limit.Kind != person.Kind {
			continue
		}
		f := Finding{Product: r.Product, Refuse: true, User: person.ID, Grant: r.ID}
		if limit.ForbidAll && r.saysAll() {
			f.Rule = RuleForbidAll
			all = append(all, f)
		}
		for i, rank := range r.ranks {
			permission := r.product.Permissions[i]
			f.Permission = permission.ID
			if limit.MaxLevel != "" && rank > r.product.rankOf[limit.MaxLevel] {
				f.Rule = RuleMaxLevel
				all = append(all, f)
			}
			if rank > 0 && slices.ContainsFunc(permission.Tags, func(tag string) bool { return slices.Contains(limit.ForbidTags, tag) }) {
				f.Rule = RuleForbidTag
				all = append(all, f)
			}
		}
	}
	return all
}

func (r *rule) saysAll() bool {
	return r.everywhere || slices.ContainsFunc(r.reach, func(in reach) bool { return in.all })
}

func (h HolderRule) findings(product ProductID, count int) []Finding {
	f := Finding{Product: product, Role: h.Role}
	switch {
	case count < max(h.Refuse, h.Warn):
		f.Rule, f.Refuse = RuleFewHolders, count < h.Refuse
	case h.Max > 0 && count > h.Max:
		f.Rule, f.Refuse = RuleManyHolders, true
	default:
		return nil
	}
	return []Finding{f}
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.Product, b.Product), cmp.Compare(a.User, b.User), cmp.Compare(a.Rule, b.Rule),
		cmp.Compare(a.Role, b.Role), cmp.Compare(a.Grant, b.Grant), cmp.Compare(a.Permission, b.Permission),
	)
}
