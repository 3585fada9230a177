package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"gatehouse/access"
)

// GroupFilter says which groups of a tenant to list; the zero one picks all.
type GroupFilter struct {
	// Text is a part of the name, in any case, or a group's id.
	Text       string
	Connection ConnectionID
	// Giving are the groups that something is granted to. They, and the groups within
	// them, are listed last: what gives nobody anything is what there is to do.
	Giving []access.GroupID
	// Gives picks those that give something, or those that don't; nil picks both.
	Gives *bool
	// Empty picks those without members.
	Empty bool
	// Among picks these and the groups within them; nil picks all.
	Among []access.GroupID
}

// GroupKey is a place in the list of groups: behind the one of that name and id.
// The zero GroupKey is before all.
type GroupKey struct {
	Gives bool    `json:"g,omitempty"`
	Name  string  `json:"n"` // folded
	ID    GroupID `json:"i"`
}

// GroupRow is a group in the list.
type GroupRow struct {
	ID          GroupID      `db:"id"`
	Connection  ConnectionID `db:"connection_id"`
	DisplayName string       `db:"display_name"`
	// Members are those directly in it, Inner the groups; members are counted up to
	// MaxCounted, and one more means that there are more.
	Members    int     `db:"members"`
	Inner      int     `db:"inner_groups"`
	ModifiedAt Instant `db:"modified_at"`
	Gives      bool    `db:"-"`
}

// MaxCounted is up to how many members a list counts.
const MaxCounted = 10_000

// Key is the group's place in the list of groups.
func (g GroupRow) Key() GroupKey {
	return GroupKey{Gives: g.Gives, Name: Fold(g.DisplayName), ID: g.ID}
}

// GroupsPage lists the groups of all connections behind a place, at most limit:
// first those that give nothing, then by name.
func (r reader) GroupsPage(ctx context.Context, tenant TenantID, f GroupFilter, after GroupKey, limit int) (rows []GroupRow, err error) {
	if !isText(f.Text) || !isText(after.Name) || f.Connection != "" && !validID(string(f.Connection)) || after.ID != "" && !validID(string(after.ID)) {
		return nil, nil
	}
	err = r.agree(ctx, func(r reader) error {
		connections := []ConnectionID{f.Connection}
		if f.Connection == "" {
			if err := r.list(ctx, &connections, `SELECT id FROM connections WHERE tenant_id = ? ORDER BY id`, tenant); err != nil {
				return err
			}
		}
		for _, gives := range []bool{false, true} {
			if f.Gives != nil && *f.Gives != gives || after.Gives && !gives || len(rows) == limit {
				continue
			}
			// An index has the names of each connection in order.
			var found []GroupRow
			for _, connection := range connections {
				var some []GroupRow
				query, args := r.groupsQuery(tenant, connection, f, gives, after, limit-len(rows))
				if err := r.list(ctx, &some, query, args...); err != nil {
					return err
				}
				found = append(found, some...)
			}
			slices.SortFunc(found, func(a, b GroupRow) int {
				return cmp.Or(cmp.Compare(Fold(a.DisplayName), Fold(b.DisplayName)), cmp.Compare(a.ID, b.ID))
			})
			for i := range found {
				found[i].Gives = gives
			}
			rows = append(rows, found[:min(len(found), limit-len(rows))]...)
		}
		return nil
	})
	return rows, err
}

func (r reader) groupsQuery(tenant TenantID, connection ConnectionID, f GroupFilter, gives bool, after GroupKey, limit int) (string, []any) {
	d := r.pool.dialect
	w := &clause{}
	within := func(name string, ids []access.GroupID) {
		w.add(name+` (id) AS (`+d.ids+` UNION SELECT s.member_id FROM `+name+` w JOIN subgroups s ON s.tenant_id = ? AND s.group_id = w.id)`,
			d.idList(texts(ids)), tenant)
	}
	w.add(`WITH RECURSIVE `)
	within("giving", f.Giving)
	if f.Among != nil {
		w.add(`, `)
		within("among", f.Among)
	}
	w.add(` SELECT g.id, g.connection_id, g.display_name, g.modified_at,
			(SELECT COUNT(*) FROM (SELECT 1 FROM members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id LIMIT 10001) n) AS members,
			(SELECT COUNT(*) FROM subgroups s WHERE s.tenant_id = g.tenant_id AND s.group_id = g.id) AS inner_groups
		FROM groups g WHERE g.tenant_id = ? AND g.connection_id = ?`, tenant, connection)
	w.add(map[bool]string{true: ` AND g.id IN (SELECT id FROM giving)`, false: ` AND g.id NOT IN (SELECT id FROM giving)`}[gives])
	if f.Among != nil {
		w.add(` AND g.id IN (SELECT id FROM among)`)
	}
	if f.Empty {
		w.add(` AND NOT EXISTS (SELECT 1 FROM members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id)`)
	}
	text := strings.TrimSpace(f.Text)
	if validID(text) {
		w.add(` AND g.id = ?`, text)
	} else {
		for _, word := range firstWords(text) {
			w.add(` AND `+d.contains("g.display_name_key"), word)
		}
	}
	if after.ID != "" && after.Gives == gives {
		w.add(` AND g.display_name_key >= ? AND (g.display_name_key > ? OR g.id > ?)`, after.Name, after.Name, after.ID)
	}
	w.add(` ORDER BY g.display_name_key, g.id LIMIT ?`, limit)
	return w.text.String(), w.args
}

// firstWords are the folded words that a list is looked through for.
func firstWords(text string) []string {
	words := strings.Fields(Fold(text))
	return words[:min(len(words), maxWords)]
}
