package store

import (
	"reflect"
	"strings"
)

// The elements of two attributes are rows of tables, not parts of a document: the
// members of a group, and the groups of a user. What a filter says of them is asked
// of those rows. What kind of row it is decides their type, so comparisons of that
// are decided here, and a kind that can't be meant is not looked at.

// listed is an attribute whose elements are rows.
type listed struct {
	name string
	// kinds are the tables of its elements.
	kinds []rowKind
}

// rowKind is one kind of element.
type rowKind struct {
	typ string // the value of type
	// columns of the row, by the name of the sub-attribute.
	columns map[string]string
	// one begins a subquery for rows of the resource, many begins one for ids of
	// resources that have such a row; both end in a WHERE to go on with "AND".
	one, many string
}

var membersOfGroup = &listed{name: "members", kinds: []rowKind{
	{
		typ: "User", columns: map[string]string{"value": "m.user_id"},
		one:  `SELECT 1 FROM members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id`,
		many: `SELECT m.group_id FROM members m WHERE m.tenant_id = ?`,
	}, {
		typ: "Group", columns: map[string]string{"value": "s.member_id"},
		one:  `SELECT 1 FROM subgroups s WHERE s.tenant_id = g.tenant_id AND s.group_id = g.id`,
		many: `SELECT s.group_id FROM subgroups s WHERE s.tenant_id = ?`,
	},
}}

// groupsOfUser are in two kinds, direct and indirect, which are the same rows
// reached on two ways.
var groupsOfUser = &listed{name: "groups"}

var groupColumnsOfUser = map[string]string{"value": "g.id", "display": "g.display_name_key"}

// someRow adds the condition that a row fulfils where. Whatever leads to the ids of
// resources is asked in one subquery: databases look those up by index, and would
// rather read all resources than follow an "or".
func (w *clause) someRow(where Filter) {
	var ids, others []*clause
	w.gather(where, &ids, &others)
	if len(ids) > 0 {
		w.add(w.index.alias + ".id IN (")
		for i, one := range ids {
			switch {
			case len(ids) == 1:
				w.put(one)
				continue
			case i > 0:
				w.add(" UNION ALL ")
			}
			w.add("SELECT * FROM (")
			w.put(one)
			w.add(") found")
		}
		w.add(")")
	}
	for i, one := range others {
		if i > 0 || len(ids) > 0 {
			w.add(" OR ")
		}
		w.put(one)
	}
	if len(ids)+len(others) == 0 {
		w.add("FALSE")
	}
}

// gather finds what fulfils where: subqueries of the resources' ids, and conditions
// on a resource.
func (w *clause) gather(where Filter, ids, others *[]*clause) {
	or, isOr := where.(Or)
	for _, part := range or {
		w.gather(part, ids, others)
	}
	if isOr {
		return
	}
	part := func(list *[]*clause) *clause {
		c := &clause{dialect: w.dialect, conn: w.conn, index: w.index}
		*list = append(*list, c)
		return c
	}
	if c, ok := where.(Compare); ok && c.Op == Equal && c.Attr.Path[0] == "value" {
		if text, _ := c.Value.(string); validID(text) {
			part(ids).related(w.index.related[w.index.listed.name+".value"], text)
		}
		return
	}
	if w.index.listed == groupsOfUser {
		direct, indirect := decide(where, "direct"), decide(where, "indirect")
		switch {
		case isNever(direct) && isNever(indirect):
		case reflect.DeepEqual(direct, indirect):
			part(ids).within(direct)
		default:
			if !isNever(direct) {
				part(ids).direct(direct)
			}
			if !isNever(indirect) {
				part(ids).indirect(indirect)
			}
		}
		return
	}
	for _, kind := range w.index.listed.kinds {
		where := decide(where, kind.typ)
		switch value, exact := exactValue(where); {
		case isNever(where), exact && !validID(value):
		case exact:
			one := part(ids)
			one.add(kind.many+" AND ", w.conn.Tenant)
			one.ofRow(where, kind.columns)
		default:
			one := part(others)
			one.add("EXISTS (" + kind.one + " AND ")
			one.ofRow(where, kind.columns)
			one.add(")")
		}
	}
}

// groupsWhere goes on with the groups of the connection that fulfil where.
func (w *clause) groupsWhere(where Filter) {
	w.add(` WHERE g.tenant_id = ? AND g.connection_id = ? AND `, w.conn.Tenant, w.conn.ID)
	w.ofRow(where, groupColumnsOfUser)
}

// within finds the users in groups that fulfil where, or in groups in those.
func (w *clause) within(where Filter) {
	w.add(`WITH RECURSIVE within (tenant_id, id) AS (SELECT g.tenant_id, g.id FROM groups g`)
	w.groupsWhere(where)
	w.add(` UNION SELECT s.tenant_id, s.member_id FROM within w JOIN subgroups s ON s.tenant_id = w.tenant_id AND s.group_id = w.id)
		SELECT m.user_id FROM within w JOIN members m ON m.tenant_id = w.tenant_id AND m.group_id = w.id`)
}

// direct finds the users who are in one themselves.
func (w *clause) direct(where Filter) {
	w.add(`SELECT m.user_id FROM groups g JOIN members m ON m.tenant_id = g.tenant_id AND m.group_id = g.id`)
	w.groupsWhere(where)
}

// indirect finds the users who are in one through other groups only.
func (w *clause) indirect(where Filter) {
	w.add(`WITH RECURSIVE within (tenant_id, outer_id, id) AS (
		SELECT s.tenant_id, s.group_id, s.member_id FROM groups g JOIN subgroups s ON s.tenant_id = g.tenant_id AND s.group_id = g.id`)
	w.groupsWhere(where)
	w.add(` UNION SELECT s.tenant_id, w.outer_id, s.member_id FROM within w JOIN subgroups s ON s.tenant_id = w.tenant_id AND s.group_id = w.id)
		SELECT m.user_id FROM within w JOIN members m ON m.tenant_id = w.tenant_id AND m.group_id = w.id
		WHERE NOT EXISTS (SELECT 1 FROM members d WHERE d.tenant_id = w.tenant_id AND d.group_id = w.outer_id AND d.user_id = m.user_id)`)
}

// ofRow adds a condition on the columns of a row.
func (w *clause) ofRow(f Filter, columns map[string]string) {
	w.row = columns
	w.add("(")
	w.filter(f, "")
	w.add(")")
	w.row = nil
}

// compareRow adds a comparison of a column.
func (w *clause) compareRow(c Compare) {
	name := c.Attr.Path[0]
	text, isText := c.Value.(string)
	switch column, ok := w.row[name]; {
	case !ok || !isText || name == "value" && (c.Op != Equal || !validID(text)):
		w.add("FALSE")
	case name == "value":
		w.add(column+" = ?", text)
	default:
		w.compareKnown(c, column)
	}
}

// is reports whether a path is that of the attribute.
func (l *listed) is(path []string) bool { return l != nil && len(path) == 1 && path[0] == l.name }

// spread is a filter on one attribute of all elements, such as groups.display, as
// one on an element.
func (l *listed) spread(c Compare) (where Compare, ok bool) {
	if l == nil || len(c.Attr.Path) != 2 || c.Attr.Path[0] != l.name {
		return c, false
	}
	c.Attr.Path, c.Attr.Multi = c.Attr.Path[1:], false
	return c, true
}

// decide replaces what a filter says of the type of a row, and whether it has a
// value, by what that comes to.
func decide(f Filter, typ string) Filter {
	switch f := f.(type) {
	case And:
		var left And
		for _, part := range f {
			part = decide(part, typ)
			if isNever(part) {
				return Or{}
			}
			if !isAlways(part) {
				left = append(left, part)
			}
		}
		if len(left) == 1 {
			return left[0]
		}
		return append(And{}, left...)
	case Or:
		var left Or
		for _, part := range f {
			part = decide(part, typ)
			if isAlways(part) {
				return And{}
			}
			if !isNever(part) {
				left = append(left, part)
			}
		}
		if len(left) == 1 {
			return left[0]
		}
		return append(Or{}, left...)
	case Not:
		part := decide(f.Filter, typ)
		return truth(isNever(part), isAlways(part), Not{part})
	case Present:
		return And{} // every row has every part
	case Compare:
		if f.Value == nil {
			return truth(f.Op == NotEqual, true, f)
		}
		if f.Attr.Path[0] != "type" {
			return f
		}
		if !f.Attr.CaseExact {
			typ = Fold(typ)
		}
		text, ok := f.Value.(string)
		return truth(ok && holds(typ, f.Op, text), true, f)
	}
	return f
}

// truth is the filter that always holds, or the one that never does, or another.
func truth(always, never bool, other Filter) Filter {
	switch {
	case always:
		return And{}
	case never:
		return Or{}
	}
	return other
}

func isAlways(f Filter) bool {
	and, ok := f.(And)
	return ok && len(and) == 0
}

func isNever(f Filter) bool {
	or, ok := f.(Or)
	return ok && len(or) == 0
}

// holds compares two texts as the databases do.
func holds(have string, op Op, want string) bool {
	switch op {
	case Equal:
		return have == want
	case NotEqual:
		return have != want
	case Contains:
		return strings.Contains(have, want)
	case StartsWith:
		return strings.HasPrefix(have, want)
	case EndsWith:
		return strings.HasSuffix(have, want)
	case Greater:
		return have > want
	case GreaterOrEqual:
		return have >= want
	case Less:
		return have < want
	case LessOrEqual:
		return have <= want
	}
	return false
}
