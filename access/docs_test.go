package access

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDocs runs the examples of the documentation and of testdata: the blocks
// marked access. The first block of a file is the company, which each of the
// others starts with.
func TestDocs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples in testdata: %v", err)
	}
	for _, file := range append(files, "../docs/access.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```access\n")
		if len(blocks) < 4 {
			t.Fatalf("%s: %d examples", file, len(blocks)-1)
		}
		heading := ""
		company, _, _ := strings.Cut(blocks[1], "```")
		for i, block := range blocks[1:] {
			if _, last, found := cutLast(blocks[i], "\n## "); found {
				heading, _, _ = strings.Cut(last, "\n")
			}
			block, _, _ = strings.Cut(block, "```")
			if i > 0 {
				block = company + block
			}
			t.Run(filepath.Base(file)+" "+heading, func(t *testing.T) {
				if asked := newExample(t).run(block); i > 0 && asked == 0 {
					t.Error("asks nothing")
				}
			})
		}
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// example is a world written in lines of words:
//
//	on 2026-11-22
//	sites site nl nl/utrecht be
//	product roster levels view,edit permissions shifts,hours,payroll by site
//	role roster planner shifts=edit hours=view
//	person alice client inactive until 2026-12-01
//	group planners alice bob
//	nest planners in staff
//	grant g1 group planners role planner in roster at site=utrecht,be
//	grant g2 user alice deny hours=edit in roster everywhere from 2026-11-01 until 2027-01-01 except shifts
//	ask alice shifts=edit in roster at site=utrecht: yes g1
//	ask bob shifts=edit in roster at site=be: no denied g2
//	who shifts=view in roster at site=be: alice bob
//	where alice shifts=view in roster over site: nl utrecht
//	change grant …             from here on the state after a change
//	differs alice shifts in roster: loses edit
//	nobody else differs
//
// An answer of yes names the paths, each as group>group>grant; an answer of no
// what is missing, the nearest first, each with its grant.
type example struct {
	t       *testing.T
	w       world
	before  *world
	checked map[string]bool
}

func newExample(t *testing.T) *example {
	return &example{t: t, w: world{At: noon, Facts: Facts{People: make(map[UserID]Person), Groups: make(map[GroupID]Group)}}, checked: make(map[string]bool)}
}

func (e *example) run(text string) (asked int) {
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		statement, want, isQuestion := strings.Cut(strings.Join(words, " "), ": ")
		if words[0] == "nobody" || isQuestion {
			asked++
			if got := e.answer(strings.Fields(statement)); got != want {
				e.t.Errorf("%s\n got %s\nwant %s", statement, got, want)
			}
			continue
		}
		e.state(words)
	}
	return asked
}

// take removes a word and the one behind it, and returns that.
func take(words *[]string, name string) string {
	i := slices.Index(*words, name)
	if i < 0 || i+1 >= len(*words) {
		return ""
	}
	value := (*words)[i+1]
	*words = slices.Delete(slices.Clone(*words), i, i+2)
	return value
}

func list[T ~string](text string) []T {
	var all []T
	for _, one := range strings.Split(text, ",") {
		if one != "" {
			all = append(all, T(one))
		}
	}
	return all
}

func (e *example) date(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		e.t.Fatal(err)
	}
	return at
}

func (e *example) state(words []string) {
	if words[0] == "change" {
		if e.before == nil {
			before := e.w.copied()
			e.before = &before
		}
		words = words[1:]
	}
	kind, words := words[0], words[1:]
	switch kind {
	case "on":
		e.w.At = e.date(words[0])
	case "sites":
		e.sites(DimensionID(words[0]), words[1:])
	case "archive":
		e.w.site(SiteID(words[0])).Archived = true
	case "product":
		e.product(words)
	case "role":
		e.role(words)
	case "person":
		until := e.date(take(&words, "until"))
		p := e.w.Facts.People[UserID(words[0])]
		p.ID, p.ExpiresAt = UserID(words[0]), until
		p.Active, p.LoginAllowed = !slices.Contains(words, "inactive"), !slices.Contains(words, "blocked")
		for _, kind := range []Kind{KindEmployee, KindClient, KindContractor, KindGuest, KindService} {
			if slices.Contains(words, string(kind)) {
				p.Kind = kind
			}
		}
		e.w.Facts.People[p.ID] = p
	case "group":
		id := GroupID(words[0])
		g := e.w.Facts.Groups[id]
		g.ID = id
		e.w.Facts.Groups[id] = g
		for _, member := range words[1:] {
			p, ok := e.w.Facts.People[UserID(member)]
			if !ok {
				p = Person{ID: UserID(member), Active: true, LoginAllowed: true}
			}
			p.Groups = append(slices.Clone(p.Groups), id)
			e.w.Facts.People[p.ID] = p
		}
	case "leave":
		p := e.w.Facts.People[UserID(words[1])]
		p.Groups = slices.DeleteFunc(slices.Clone(p.Groups), func(g GroupID) bool { return g == GroupID(words[0]) })
		e.w.Facts.People[p.ID] = p
	case "nest":
		g := e.w.Facts.Groups[GroupID(words[0])]
		g.ID, g.Parents = GroupID(words[0]), append(g.Parents, GroupID(words[2]))
		e.w.Facts.Groups[g.ID] = g
	case "grant":
		g := e.grant(words)
		e.w.Grants = append(slices.DeleteFunc(e.w.Grants, func(old Grant) bool { return old.ID == g.ID }), g)
	case "end":
		e.w.Grants = slices.DeleteFunc(e.w.Grants, func(old Grant) bool { return old.ID == GrantID(words[0]) })
	default:
		e.t.Fatalf("unknown: %s %v", kind, words)
	}
}

func (e *example) sites(dimension DimensionID, paths []string) {
	if !slices.ContainsFunc(e.w.Catalogue.Dimensions, func(d Dimension) bool { return d.ID == dimension }) {
		e.w.Catalogue.Dimensions = append(e.w.Catalogue.Dimensions, Dimension{ID: dimension})
	}
	for _, path := range paths {
		parent, id := filepath.Split(path)
		e.w.Catalogue.Sites = append(e.w.Catalogue.Sites, Site{ID: SiteID(id), Dimension: dimension, Key: id, Parent: SiteID(filepath.Base(parent))})
		if s := &e.w.Catalogue.Sites[len(e.w.Catalogue.Sites)-1]; s.Parent == "." {
			s.Parent = ""
		}
	}
}

func (e *example) product(words []string) {
	pr := Product{Levels: list[Level](take(&words, "levels")), Dimensions: list[DimensionID](take(&words, "by"))}
	for _, id := range list[PermissionID](take(&words, "permissions")) {
		pr.Permissions = append(pr.Permissions, Permission{ID: id})
	}
	pr.ID = ProductID(words[0])
	e.w.Catalogue.Products = append(slices.DeleteFunc(e.w.Catalogue.Products, func(p Product) bool { return p.ID == pr.ID }), pr)
}

func (e *example) role(words []string) {
	i := slices.IndexFunc(e.w.Catalogue.Products, func(p Product) bool { return p.ID == ProductID(words[0]) })
	pr := &e.w.Catalogue.Products[i]
	r := Role{ID: RoleID(words[1]), Permissions: make(map[PermissionID]Level)}
	for _, word := range words[2:] {
		if word == "personal" {
			r.Personal = true
			continue
		}
		permission, level := e.permission(word, pr.ID)
		r.Permissions[permission] = level
	}
	pr.Roles = append(slices.DeleteFunc(slices.Clone(pr.Roles), func(old Role) bool { return old.ID == r.ID }), r)
}

// permission reads shifts=edit, or shifts where there is one level only.
func (e *example) permission(word string, product ProductID) (PermissionID, Level) {
	permission, level, named := strings.Cut(word, "=")
	for _, pr := range e.w.Catalogue.Products {
		if pr.ID == product && !named && len(pr.Levels) == 0 {
			level = string(LevelAllow)
		}
	}
	return PermissionID(permission), Level(level)
}

func (e *example) grant(words []string) Grant {
	g := Grant{
		Product: ProductID(take(&words, "in")), Role: RoleID(take(&words, "role")), From: e.date(take(&words, "from")),
		Until: e.date(take(&words, "until")), Mask: list[PermissionID](take(&words, "except")), Effect: Allow,
	}
	g.Subject.User, g.Subject.Group = UserID(take(&words, "user")), GroupID(take(&words, "group"))
	g.ID, words = GrantID(words[0]), words[1:]
	for i, word := range words {
		dimension, sites, located := strings.Cut(word, "=")
		switch {
		case word == "everyone":
			g.Subject.Everyone = true
		case word == "deny":
			g.Effect = Deny
		case word == "everywhere":
			g.Scope.Everywhere = true
		case word == "at":
			g.Scope.Sites = make(map[DimensionID]Selection)
		case located && slices.Contains(words[:i], "at") && sites == "ALL":
			g.Scope.Sites[DimensionID(dimension)] = Selection{All: true}
		case located && slices.Contains(words[:i], "at"):
			g.Scope.Sites[DimensionID(dimension)] = Selection{Sites: list[SiteID](sites)}
		default:
			g.Permission, g.Level = e.permission(word, g.Product)
		}
	}
	return g
}

// question reads "alice shifts=edit in roster at site=utrecht".
func (e *example) question(words []string) (UserID, Question) {
	q := Question{Product: ProductID(take(&words, "in")), Place: Place{}}
	if i := slices.Index(words, "at"); i >= 0 {
		for _, word := range words[i+1:] {
			dimension, site, _ := strings.Cut(word, "=")
			q.Place[DimensionID(dimension)] = SiteID(site)
		}
		words = words[:i]
	}
	q.Permission, q.Level = e.permission(words[len(words)-1], q.Product)
	return UserID(words[0]), q
}

func (e *example) answer(words []string) string {
	st := e.w.state(e.t)
	kind, words := words[0], words[1:]
	var said []string
	switch kind {
	case "ask":
		user, q := e.question(words)
		return e.explained(st, user, q)
	case "who":
		_, q := e.question(words)
		for _, holder := range WhoHas(st, q) {
			said = append(said, string(holder.User))
		}
	case "where":
		dimension := DimensionID(take(&words, "over"))
		user, q := e.question(words)
		sites, all := st.Policy.SitesOf(st.Facts.Subject(user), q, dimension, st.At)
		if all {
			said = append(said, "ALL")
		}
		for _, site := range sites {
			said = append(said, string(site))
		}
	case "problems":
		for _, problem := range st.Policy.Problems() {
			said = append(said, strings.TrimSpace(fmt.Sprint(problem.Grant, " ", problem.Reason, " ", problem.Name)))
		}
	case "differs":
		user, q := e.question(words)
		e.checked[string(user)] = true
		for _, impact := range Diff(e.before.state(e.t), st) {
			for _, diff := range impact.Differences {
				if impact.User == user && diff.Product == q.Product && diff.Permission == q.Permission {
					said = append(said, strings.Fields(fmt.Sprint(diff.Kind, " ", diff.Before, " ", diff.After))...)
				}
			}
		}
	case "nobody": // else differs
		for _, impact := range Diff(e.before.state(e.t), st) {
			if !e.checked[string(impact.User)] {
				said = append(said, string(impact.User))
			}
		}
		return strings.Join(said, " ")
	default:
		e.t.Fatalf("unknown question: %s %v", kind, words)
	}
	if len(said) == 0 {
		return "nobody"
	}
	return strings.Join(said, " ")
}

// explained is yes with the grants, or no with what is missing first and the
// grants at fault, group in front if the person isn't in it.
func (e *example) explained(st State, user UserID, q Question) string {
	x := st.Policy.Explain(st.Facts.Subject(user), q, st.At)
	if x.Allowed != st.Policy.Allows(st.Facts.Subject(user), q, st.At) {
		e.t.Errorf("%s %+v: Allows says otherwise", user, q)
	}
	var said []string
	if x.Allowed {
		for _, path := range x.Through {
			way := ""
			for _, group := range path.Groups {
				way += string(group) + ">"
			}
			said = append(said, way+string(path.Grant.ID))
		}
		return "yes " + strings.Join(said, " ")
	}
	for _, missing := range x.Missing {
		for _, reason := range missing.Reasons {
			said = append(said, string(reason))
		}
		if missing.Path != nil {
			said = append(said, string(missing.Path.Grant.ID))
		}
	}
	return "no " + strings.Join(said, " ")
}
