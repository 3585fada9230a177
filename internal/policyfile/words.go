package policyfile

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// Words names things as people know them.
type Words struct {
	now      store.Snapshot
	sites    map[access.SiteID]access.Site
	products map[access.ProductID]access.Product
}

// NewWords knows the people and groups of a tenant, and the sites and products of
// the catalogues; the later one counts.
func NewWords(now store.Snapshot, catalogues ...access.Catalogue) *Words {
	w := &Words{now: now, sites: make(map[access.SiteID]access.Site), products: make(map[access.ProductID]access.Product)}
	for _, c := range catalogues {
		for _, s := range c.Sites {
			w.sites[s.ID] = s
		}
		var dimensions []access.DimensionID
		for _, d := range c.Dimensions {
			dimensions = append(dimensions, d.ID)
		}
		for _, p := range append(c.Products, access.Console(dimensions...)) {
			w.products[p.ID] = p
		}
	}
	return w
}

// User is a person with the name that she is found by.
func (w *Words) User(id access.UserID) string {
	named, ok := w.now.Users[id]
	if !ok {
		return "#" + string(id)
	}
	p := Person{Name: named.Name, DisplayName: named.DisplayName, Connection: named.Connection}
	return p.text()
}

// Group is a group in quotes.
func (w *Words) Group(id access.GroupID) string {
	if named, ok := w.now.Groups[id]; ok {
		return fmt.Sprintf("%q", named.Name)
	}
	return "#" + string(id)
}

// Site is a site by its key.
func (w *Words) Site(id access.SiteID) string {
	if s, ok := w.sites[id]; ok {
		return SiteRef(s)
	}
	return "#" + string(id)
}

func (w *Words) siteList(ids []access.SiteID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = w.Site(id)
	}
	slices.Sort(texts)
	const most = 12
	if len(texts) > most {
		texts = append(texts[:most], fmt.Sprintf("%d more", len(texts)-most))
	}
	return and(texts)
}

func and(texts []string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " and " + texts[len(texts)-1]
}

func (w *Words) below(parent access.SiteID) string {
	if parent == "" {
		return "to the top"
	}
	return "below " + w.Site(parent)
}

// Area is where something is held; empty for a product without dimensions.
func (w *Words) Area(area access.Area, product access.ProductID) string {
	var texts []string
	everywhere := true
	for _, dimension := range w.dimensions(product, maps.Keys(area)) {
		part := area[dimension]
		text := fmt.Sprintf("at %s %s", dimension, w.siteList(part.Sites))
		if part.All {
			text = "at every " + string(dimension)
		}
		if len(part.Except) > 0 {
			text += " but " + w.siteList(part.Except)
			if part.All && len(part.Sites) > 0 {
				text += " and yet " + w.siteList(part.Sites)
			}
		}
		everywhere = everywhere && part.All && len(part.Except) == 0
		texts = append(texts, text)
	}
	switch {
	case len(area) == 0:
		return ""
	case everywhere:
		return "everywhere"
	}
	return strings.Join(texts, ", ")
}

// dimensions are those given in the order of the product.
func (w *Words) dimensions(product access.ProductID, given func(func(access.DimensionID) bool)) []access.DimensionID {
	order := w.products[product].Dimensions
	return slices.SortedFunc(given, func(a, b access.DimensionID) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a), slices.Index(order, b)), cmp.Compare(a, b))
	})
}

// Scope is where a grant reaches.
func (w *Words) Scope(scope access.Scope, product access.ProductID) string {
	switch {
	case scope.Everywhere:
		return "everywhere"
	case scope.Zero():
		return "nowhere"
	}
	area := make(access.Area)
	for dimension, selection := range scope.Sites {
		area[dimension] = access.Part{All: selection.All, Sites: selection.Sites}
	}
	return w.Area(area, product)
}

// What is what a grant gives or takes away, and where.
func (w *Words) What(g access.Grant) string {
	var text string
	switch {
	case g.Role != "":
		text = fmt.Sprintf("role %s of %s", g.Role, g.Product)
	case g.Attribute != "":
		return fmt.Sprintf("attribute %s=%s of %s", g.Attribute, g.Value, g.Product)
	default:
		text = string(g.Permission)
		if g.Permission == access.AllPermissions {
			text = "everything"
		}
		if g.Level != access.LevelAllow {
			text += " at " + string(g.Level)
		}
		text += " of " + string(g.Product)
	}
	if g.Effect == access.Deny {
		text = "deny of " + text
	}
	if len(g.Mask) > 0 {
		text += " without " + join(g.Mask)
	}
	text += " " + w.Scope(g.Scope, g.Product)
	if !g.From.IsZero() {
		text += " from " + day(g.From)
	}
	if !g.Until.IsZero() {
		text += " until " + day(g.Until)
	}
	return text
}

// Grant is whom a grant is for and what it is.
func (w *Words) Grant(g access.Grant) string {
	text := ""
	switch {
	case g.Subject.Everyone:
		text = "everyone"
	case g.Subject.User != "":
		text = w.User(g.Subject.User)
	default:
		text = "group " + w.Group(g.Subject.Group)
	}
	text += ": " + w.What(g)
	if g.Reason != "" {
		text += fmt.Sprintf(" (%s)", g.Reason)
	}
	return text
}

// Path is a way to a permission.
func (w *Words) Path(p access.Path) string {
	text := "directly"
	if p.Grant.Subject.Everyone {
		text = "as everyone"
	}
	for i, group := range p.Groups {
		if i == 0 {
			text = "through group " + w.Group(group)
		} else {
			text += " within " + w.Group(group)
		}
	}
	return text + ": " + w.What(*p.Grant)
}

func (w *Words) paths(all []access.Path) []string {
	var texts []string
	for _, p := range all {
		if text := w.Path(p); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// Finding is a rule that isn't kept.
func (w *Words) Finding(f access.Finding) string {
	who := func() string { return w.User(f.User) }
	switch f.Rule {
	case access.RuleOneRole:
		return fmt.Sprintf("%s: %s has more than one role", f.Product, who())
	case access.RuleMaxLevel:
		return fmt.Sprintf("%s: %s would have %s at a higher level than %s may", f.Product, who(), f.Permission, w.kind(f.User))
	case access.RuleForbidTag:
		return fmt.Sprintf("%s: %s would have %s, which %s may not have", f.Product, who(), f.Permission, w.kind(f.User))
	case access.RuleForbidAll:
		return fmt.Sprintf("%s: %s would have a grant that says ALL, which %s may not have", f.Product, who(), w.kind(f.User))
	case access.RuleFewHolders:
		return fmt.Sprintf("%s: too few people have the role %s", f.Product, f.Role)
	}
	return fmt.Sprintf("%s: too many people have the role %s", f.Product, f.Role)
}

func (w *Words) kind(id access.UserID) string {
	kind := w.now.Facts.People[id].Kind
	if kind == access.KindEmployee {
		return "an employee"
	}
	return "a " + string(kind)
}

// day is an instant as files have it.
func day(at time.Time) string {
	if at = at.UTC(); at.Equal(at.Truncate(24 * time.Hour)) {
		return at.Format(time.DateOnly)
	}
	return at.Format(time.RFC3339Nano)
}

// people names those whom a plan concerns: who loses first, then by name.
func (w *Words) people(impacts []access.Impact) []Person {
	all := make([]Person, 0, len(impacts))
	for _, impact := range impacts {
		named := w.now.Users[impact.User]
		p := Person{User: impact.User, Name: named.Name, DisplayName: named.DisplayName, Connection: named.Connection}
		for _, d := range impact.Differences {
			p.Changes = append(p.Changes, Change{
				Kind: d.Kind, Product: d.Product, Permission: d.Permission, Before: d.Before, After: d.After,
				Where: w.Area(d.Area, d.Product), Lost: w.paths(d.Lost), Gained: w.paths(d.Gained), Kept: w.paths(d.Kept),
			})
		}
		slices.SortStableFunc(p.Changes, func(a, b Change) int { return cmp.Compare(weight[a.Kind], weight[b.Kind]) })
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b Person) int {
		return cmp.Or(cmp.Compare(weight[a.kind()], weight[b.kind()]), cmp.Compare(a.Name, b.Name), cmp.Compare(a.User, b.User))
	})
	return all
}

// weight puts losses first.
var weight = map[access.DifferenceKind]int{access.Loses: 1, access.Lowers: 2, access.Raises: 3, access.Gains: 4, access.Keeps: 5}

// kind is the weightiest of a person's changes.
func (p *Person) kind() access.DifferenceKind {
	if len(p.Changes) == 0 {
		return access.Keeps
	}
	return p.Changes[0].Kind
}

// Text tells a plan to a person at a terminal. It names at most so many people;
// 0 is all.
func (p *Plan) Text(most int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, text := range p.Warnings {
		line("warning: %s", text)
	}
	if p.Empty() {
		line("Nothing to change.")
	} else {
		line("What changes:")
		for _, step := range p.Steps {
			line("  %s", step.Text)
		}
	}
	if p.Left > 0 {
		line("Left alone: %d grants that the file doesn't have and that were not imported (owns: all would end them).", p.Left)
	}
	count := make(map[access.DifferenceKind]int)
	for _, person := range p.People {
		count[person.kind()]++
	}
	if !p.Empty() {
		line("")
		line("Who is concerned: %d lose something, %d have it lowered, %d have it raised, %d gain, %d keep what they have another way.",
			count[access.Loses], count[access.Lowers], count[access.Raises], count[access.Gains], count[access.Keeps])
	}
	peopleText(p.People, line, most)
	for _, text := range p.Findings {
		if !slices.Contains(p.Refused, text) {
			line("warning: %s", text)
		}
	}
	for _, text := range p.Refused {
		line("refused: %s", text)
	}
	return b.String()
}

// peopleText names people together who fare alike, in the order of the first.
func peopleText(all []Person, line func(string, ...any), most int) {
	var fates []string
	people := make(map[string][]*Person)
	for i := range all {
		fate := changesText(all[i].Changes)
		if people[fate] == nil {
			fates = append(fates, fate)
		}
		people[fate] = append(people[fate], &all[i])
	}
	named := 0
	for _, fate := range fates {
		for i, person := range people[fate] {
			if named++; most > 0 && named > most {
				line("  … and %d more people like these", len(people[fate])-i)
				break
			}
			line("  %s", person.text())
		}
		line("%s", fate)
		if most > 0 && named > most {
			line("  Nobody else is named here: --json names all.")
			return
		}
	}
}

func (p *Person) text() string {
	if p.DisplayName == "" {
		return fmt.Sprintf("%s (%s)", p.Name, p.Connection)
	}
	return fmt.Sprintf("%s (%s, %s)", p.DisplayName, p.Name, p.Connection)
}

// changesText puts permissions together that become the same in the same way.
func changesText(changes []Change) string {
	var alike []Change
	for _, c := range changes {
		permission := c.Permission
		c.Permission = ""
		i := slices.IndexFunc(alike, func(o Change) bool {
			o.Permission = ""
			return reflect.DeepEqual(o, c)
		})
		if i >= 0 {
			alike[i].Permission += ", " + permission
			continue
		}
		c.Permission = permission
		alike = append(alike, c)
	}
	var lines []string
	for _, c := range alike {
		lines = append(lines, "    "+strings.TrimSpace(fmt.Sprintf("%s %s %s: %s → %s %s", c.Kind, c.Product, c.Permission,
			cmp.Or(c.Before, "nothing"), cmp.Or(c.After, "nothing"), c.Where)))
		for _, ways := range []struct {
			name  string
			paths []string
		}{{"no more", c.Lost}, {"new", c.Gained}, {"still", c.Kept}} {
			for _, path := range ways.paths {
				lines = append(lines, "      "+ways.name+" "+path)
			}
		}
	}
	return strings.Join(lines, "\n")
}
