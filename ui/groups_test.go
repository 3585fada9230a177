package ui

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/store"
)

func (g *rig) group(name string) string { return "/groups/" + string(g.groups[name]) }

// addGroup makes a group of Entra's with members: userNames and names of groups.
func (g *rig) addGroup(name string, members ...string) store.GroupID {
	g.t.Helper()
	ctx := g.t.Context()
	var ids []store.MemberID
	for _, m := range members {
		if id, ok := g.users[m]; ok {
			ids = append(ids, store.MemberID(id))
			continue
		}
		ids = append(ids, store.MemberID(g.groups[m]))
	}
	g.write(func(tx *store.Tx) error {
		doc := fmt.Appendf(nil, `{"displayname":%q}`, store.Fold(name))
		made, _, err := tx.CreateGroup(ctx, g.refs["Entra ID"], store.Group{DisplayName: name, Doc: doc, Search: doc}, ids)
		g.groups[name] = made.ID
		return err
	})
	return g.groups[name]
}

// addCrowd makes a group with many people in it, whose names are crowd0000 and so on.
func (g *rig) addCrowd(name string, n int) {
	g.t.Helper()
	ctx := g.t.Context()
	var names []string
	for from := 0; from < n; from += 500 {
		g.write(func(tx *store.Tx) error {
			for i := from; i < min(n, from+500); i++ {
				u, err := tx.CreateUser(ctx, g.refs["Entra ID"], user(fmt.Sprintf("crowd%04d@waterland.example", i), fmt.Sprintf("Crowd %04d", i), true))
				if err != nil {
					return err
				}
				g.users[u.UserName] = u.ID
			}
			return nil
		})
	}
	for i := range n {
		names = append(names, fmt.Sprintf("crowd%04d@waterland.example", i))
	}
	g.addGroup(name, names...)
}

func TestGroupsThatGiveNothingComeFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.addGroup("Planners of Utrecht", eva)
		g.addGroup("All planners", "Planners of Utrecht")
		g.grant(g.toGroup("All planners", "client", g.at("utrecht")))
		got := g.get(sam, "/groups")
		names := got.texts("#groups th[scope=row]")
		want := []string{"Everyone Waterland", "Finance", "IT", "Operations", "Sales", "Welders",
			"All planners", "Dijkwerk staff", "Planners of Utrecht", "Planning", "Utrecht technicians"}
		if !slices.Equal(names, want) {
			t.Errorf("got %q, want %q", names, want)
		}
		if maps := got.texts("#groups a[href^='/mappings/new']"); !slices.Equal(maps, []string{"Map Everyone Waterland", "Map Finance", "Map IT", "Map Operations", "Map Sales", "Map Welders"}) {
			t.Errorf("the links that map are called %q, want each by its group", maps)
		}
		if text := got.text("#groups-count"); text != "11 groups" {
			t.Errorf("count: %q", text)
		}
		row := got.Find("#groups tr:contains('Planners of Utrecht')").Text()
		if !strings.Contains(row, "through another group") {
			t.Errorf("a group within a mapped one: %q", row)
		}
		for filter, want := range map[string][]string{
			"?q=PLAN":                                  {"All planners", "Planners of Utrecht", "Planning"},
			"?mapped=no&q=e":                           {"Everyone Waterland", "Finance", "Operations", "Sales", "Welders"},
			"?mapped=yes&q=utrecht":                    {"Planners of Utrecht", "Utrecht technicians"},
			"?mapped=empty":                            {"All planners"},
			"?q=" + string(g.groups["IT"]):             {"IT"},
			"?connection=" + string(g.refs["Okta"].ID): {"Welders", "Dijkwerk staff"},
			"?q=xyzzy":                                 nil,
			"?q=%00":                                   nil,
		} {
			got := g.get(sam, "/groups"+filter)
			if names := got.texts("#groups th[scope=row]"); got.status != 200 || !slices.Equal(names, want) {
				t.Errorf("%s: status %d, got %q, want %q", filter, got.status, names, want)
			}
			file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(sam, "/groups.csv"+filter).body, "\ufeff"))).ReadAll()
			var rows []string
			for _, row := range file[1:] {
				rows = append(rows, row[0])
			}
			if err != nil || !slices.Equal(rows, want) {
				t.Errorf("csv of %s: got %q, %v, want what is on the screen: %q", filter, rows, err, want)
			}
		}
	})
}

func TestManyGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		for from := 0; from < 2000; from += 500 {
			g.write(func(tx *store.Tx) error {
				for i := from; i < from+500; i++ {
					doc := fmt.Appendf(nil, `{"displayname":"g%04d"}`, i)
					if _, _, err := tx.CreateGroup(ctx, g.refs["Entra ID"], store.Group{DisplayName: fmt.Sprintf("G%04d", i), Doc: doc, Search: doc}, nil); err != nil {
						return err
					}
				}
				return nil
			})
		}
		seen := map[string]int{}
		path, pages := "/groups?q=G", 0
		for ; path != "" && pages < 100; pages++ {
			got := g.get(sam, path)
			for _, name := range got.texts("#groups th[scope=row]") {
				seen[name]++
			}
			path = got.Find(".pager a[rel=next]").AttrOr("href", "")
		}
		for i := range 2000 {
			if name := fmt.Sprintf("G%04d", i); seen[name] != 1 {
				t.Fatalf("%s: listed %d times, want once", name, seen[name])
			}
		}
		if pages != 41 {
			t.Errorf("got %d pages, want 41: 2,000 and Planning at 50 a page", pages)
		}
		if text := g.get(sam, "/groups").text("#groups-count"); text != "2,009 groups" {
			t.Errorf("count: %q", text)
		}
	})
}

func TestGroupSaysWhatItGivesAndToWhom(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.addGroup("Planners of Utrecht", daan)
		g.addGroup("All planners", "Planners of Utrecht", eva)
		g.grant(g.toGroup("All planners", "client", g.at("zeeland")))
		inner := g.get(sam, g.group("Planners of Utrecht"))
		if missing := inner.lacks("Planners of Utrecht → All planners → mapping: Client @ Zeeland (since 22 Nov 2026, by grace", "It is in", "Daan Bakker", "22 Nov 2026", "Managed by Entra ID", "added the group Planners of Utrecht"); missing != nil {
			t.Errorf("got no %q in\n%s", missing, inner.text("main"))
		}
		outer := g.get(sam, g.group("All planners"))
		if missing := outer.lacks("All planners → mapping: Client @ Zeeland", "Groups in it", "2 people"); missing != nil {
			t.Errorf("got no %q in\n%s", missing, outer.text("main"))
		}
		if rows := outer.texts("#members tbody tr"); len(rows) != 2 || !strings.Contains(rows[0], "through a group within it") || !strings.Contains(rows[1], "22 Nov 2026") {
			t.Errorf("members: %q, want Daan through the inner group and Eva directly", rows)
		}
		empty := g.addGroup("Nobody yet")
		if got := g.get(sam, "/groups/"+string(empty)); got.lacks("This group gives nobody anything.", "Nobody is in this group.") != nil {
			t.Errorf("an empty group:\n%s", got.text("main"))
		}
		for _, id := range []string{string(g.users[eva]), "x", string(store.NewSiteID()), "All planners"} {
			if got := g.get(sam, "/groups/"+id); got.status != 404 {
				t.Errorf("/groups/%s: status %d, want 404", id, got.status)
			}
		}
	})
}

func TestDeletedGroup(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.later(24 * time.Hour)
		g.write(func(tx *store.Tx) error {
			return tx.DeleteGroup(t.Context(), g.refs["Okta"], g.groups["Dijkwerk staff"])
		})
		g.later(24 * time.Hour)
		got := g.get(sam, g.group("Dijkwerk staff"))
		if missing := got.lacks("Okta deleted this group on 23 Nov 2026", "1 mapping sleeps", "Link anew", "mapping: Client @ Vlissingen", "Nobody is in this group"); got.status != 200 || missing != nil {
			t.Errorf("status %d: got no %q in\n%s", got.status, missing, got.text("main"))
		}
		then := g.get(sam, g.group("Dijkwerk staff")+"?at=2026-11-22")
		if n := then.Find("#members tbody tr").Length(); n != 8 || then.lacks("You see how it was on 22 Nov 2026", "mapping: Client @ Vlissingen") != nil {
			t.Errorf("before: %d members, want 8:\n%s", n, then.text("main"))
		}
		file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(sam, g.group("Dijkwerk staff")+"/members.csv?at=2026-11-22").body, "\ufeff"))).ReadAll()
		if err != nil || len(file) != 9 {
			t.Errorf("csv of then: got %d lines, %v, want 9", len(file), err)
		}
		if never := g.get(sam, g.group("Dijkwerk staff")+"?at=2025-01-01"); never.status != 200 || never.lacks("was not there on that day") != nil {
			t.Errorf("before it was there: status %d\n%s", never.status, never.text("main"))
		}
	})
}

func TestLongGroup(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.addCrowd("Crowd", 5000)
		g.grant(g.toGroup("Crowd", "client", g.at("utrecht")))
		got := g.get(sam, g.group("Crowd"))
		if rows := got.texts("#members th[scope=row]"); len(rows) != 50 || rows[0] != "Crowd 0000crowd0000@waterland.example" || got.text("#members-count") != "5,000 people" {
			t.Errorf("first page: %d rows, %q", len(rows), got.text("#members-count"))
		}
		next := got.Find(".pager a[rel=next]").AttrOr("href", "")
		if rows := g.get(sam, next).texts("#members th[scope=row]"); len(rows) != 50 || rows[0] != "Crowd 0050crowd0050@waterland.example" {
			t.Errorf("next page: %q", rows)
		}
		if rows := g.get(sam, g.group("Crowd")+"?q=4999").texts("#members th[scope=row]"); len(rows) != 1 {
			t.Errorf("looking for one: %q", rows)
		}
		file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(sam, g.group("Crowd")+"/members.csv").body, "\ufeff"))).ReadAll()
		if err != nil || len(file) != 5001 {
			t.Errorf("csv: got %d lines, %v, want 5,001", len(file), err)
		}
		if row := g.get(sam, "/groups?q=crowd").text("#groups td.number"); row != "5,000" {
			t.Errorf("in the list: %q members", row)
		}
		g.later(48 * time.Hour)
		then := g.get(sam, g.group("Crowd")+"?at=2026-11-22")
		if rows := then.texts("#members th[scope=row]"); len(rows) != 50 {
			t.Errorf("then: %d rows", len(rows))
		}
		if rows := g.get(sam, then.Find(".pager a[rel=next]").AttrOr("href", "")).texts("#members th[scope=row]"); len(rows) != 50 {
			t.Errorf("then, the next page: %d rows", len(rows))
		}
	})
}

func TestWhichGroupsAreSeenByName(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.grant(g.toGroup("Utrecht technicians", "client", g.at("zeeland")))
		g.addGroup("Inner", daan)
		g.addGroup("Outer", "Inner")
		g.grant(g.toGroup("Outer", "client", g.at("nieuwegein")))
		list := g.get(bob, "/groups")
		if names := list.texts("#groups th[scope=row]"); !slices.Equal(names, []string{"Inner", "Outer", "Planning", "Utrecht technicians"}) {
			t.Errorf("got %q, want those that give something in Utrecht", names)
		}
		if text := list.text("#groups-count"); text != "4 groups · 7 groups elsewhere" {
			t.Errorf("count: %q", text)
		}
		group := g.get(bob, g.group("Utrecht technicians"))
		if group.lacks("Supervisor @ Uithof", "1 grant reaches only other sites") != nil || strings.Contains(group.text("main"), "Zeeland") {
			t.Errorf("a group with a grant elsewhere:\n%s", group.text("main"))
		}
		planning := g.get(bob, g.group("Planning"))
		if planning.lacks("Utrecht, +1") != nil || strings.Contains(planning.text("main"), "Vlissingen") || strings.Contains(planning.body, "Vlissingen") {
			t.Errorf("a grant that reaches elsewhere, too:\n%s", planning.text("main"))
		}
		for _, name := range []string{"Sales", "Dijkwerk staff"} {
			for _, path := range []string{g.group(name), g.group(name) + "/members.csv", g.group(name) + "?at=2026-11-21"} {
				if got := g.get(bob, path); got.status != 404 {
					t.Errorf("%s, %s: status %d, want 404", name, path, got.status)
				}
			}
		}
		for _, path := range []string{"/groups", "/groups.csv", g.group("Planning"), g.group("Planning") + "/members.csv"} {
			if got := g.get(eva, path); got.status != 403 {
				t.Errorf("%s as a planner: status %d, want 403", path, got.status)
			}
		}
	})
}
