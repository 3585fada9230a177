package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Query says which users or groups of a connection to give, and in what order.
type Query struct {
	// Filter picks; nil gives all.
	Filter Filter
	// Sort orders them.
	Sort Sort
	// After gives only those behind this id; "" starts at the first. In a list
	// that is sorted by more than the id, AfterKey is the SortKey of that one; it
	// need not exist any more.
	After    string
	AfterKey *string
	// Offset leaves out the first so many.
	Offset int
	// Limit is the most to give; 0 gives none and counts only.
	Limit int
	// Count asks for the exact total of what the filter picks.
	Count bool
	// WithGroups asks for the groups of each user.
	WithGroups bool
}

// Sort is an order of users or groups (RFC 7644 §3.4.2.3), the same on both
// databases: texts by the bytes of their UTF-8, which is the order of code points,
// false before true, absent values last. Of a multi-valued attribute the primary
// value counts, otherwise the first; of a long text the first 256 characters.
// What is equal is in the order of the ids, which is the order of their making.
type Sort struct {
	// Attr is what to sort by; without a path it is the id.
	Attr Attr
	// Descending turns the whole order round, absent values and ids included.
	Descending bool
}

// maxSortText bounds the characters of a text that sorting looks at, and so what
// it keeps in memory and what a place in a list takes to write down.
const maxSortText = 256

// Users gives a page of a connection's users and, if asked for, how many there
// are in all.
func (r reader) Users(ctx context.Context, c ConnectionRef, q Query) (users []User, total int, err error) {
	err = r.page(ctx, &users, c, q, `SELECT `+r.userColumns(q.WithGroups), userIndex)
	if err == nil && q.WithGroups {
		all := make([]*User, len(users))
		for i := range users {
			all[i] = &users[i]
		}
		err = r.addIndirect(ctx, c, all...)
	}
	if err == nil && q.Count {
		total, err = r.total(ctx, c, q, len(users), userIndex)
	}
	return users, total, err
}

// Groups gives a page of a connection's groups and, if asked for, how many there
// are in all.
func (r reader) Groups(ctx context.Context, c ConnectionRef, q Query) (groups []Group, total int, err error) {
	err = r.page(ctx, &groups, c, q, `SELECT `+groupColumns, groupIndex)
	if err == nil && q.Count {
		total, err = r.total(ctx, c, q, len(groups), groupIndex)
	}
	return groups, total, err
}

func (r reader) page(ctx context.Context, dst any, c ConnectionRef, q Query, columns string, ix index) error {
	if q.Limit <= 0 {
		return nil
	}
	if q.After != "" && !validID(q.After) {
		return fmt.Errorf("after %q: %w", q.After, ErrNotFound)
	}
	if q.Filter == nil && q.After == "" && q.Offset >= anchorEvery && q.Sort.byID() {
		size, deleted, err := r.size(ctx, c, ix)
		if err != nil || q.Offset >= size {
			return err
		}
		if q.After, q.Offset, err = r.after(ctx, c, ix, q.Offset, deleted); err != nil {
			return err
		}
	}
	if q.Filter != nil && ix.scans(q.Filter) == 0 {
		ctx = context.WithoutCancel(ctx) // found by an index: not watched for its end, as in reader.row
	}
	query, args := r.pageQuery(c, q, columns, ix)
	return r.list(ctx, dst, query, args...)
}

func (r reader) pageQuery(c ConnectionRef, q Query, columns string, ix index) (query string, args []any) {
	w := r.where(c, q, ix)
	t := ix.alias
	if !ix.ordered(q.Sort) {
		return w.sortedPage(q, columns)
	}
	key, after := t+".id", any(q.After)
	if path := q.Sort.path(); path != "" && path != "id" {
		key, after = ix.columns[path], q.AfterKey
		columns += `, ` + key + ` AS sort_key`
	}
	behind, order := ` > ?`, ``
	if q.Sort.Descending {
		behind, order = ` < ?`, ` DESC`
	}
	if q.After != "" {
		w.add(` AND `+key+behind, after)
	}
	order = ` ORDER BY ` + key + order
	if q.Offset > 0 {
		// What is skipped is only counted, not read.
		page := &clause{args: w.args}
		page.add(`SELECT ` + t + `.id FROM ` + ix.table + ` ` + t + ` WHERE ` + w.text.String() + order)
		page.page(q)
		page.args = append(page.args, c.Tenant)
		return columns + ` FROM (` + page.text.String() + `) k JOIN ` + ix.table + ` ` + t + ` ON ` + t + `.tenant_id = ? AND ` + t + `.id = k.id` + order, page.args
	}
	w.add(order)
	w.page(q)
	return columns + ` FROM ` + ix.table + ` ` + t + ` WHERE ` + w.text.String(), w.args
}

// ordered reports whether an index has the order: that of the ids, or of a name
// that everybody has and nobody shares.
func (ix index) ordered(s Sort) bool {
	path := s.path()
	return path == "" || path == "id" || path == ix.unique
}

// SortScans reports whether sorting users, or groups, looks at every one of the
// connection.
func SortScans(s Sort, groups bool) bool {
	if groups {
		return !groupIndex.ordered(s)
	}
	return !userIndex.ordered(s)
}

// byID reports whether the order is the one without sorting.
func (s Sort) byID() bool { return !s.Descending && (s.path() == "" || s.path() == "id") }

func (s Sort) path() string { return strings.Join(s.Attr.Path, ".") }

// sortedPage makes a page in an order that no index has of what w picks. Ids and
// keys are sorted alone; only what the page shows is read whole.
func (w *clause) sortedPage(q Query, columns string) (query string, args []any) {
	ix, t := w.index, w.index.alias
	key, operand := w.sortKey(q.Sort.Attr)
	page := &clause{args: w.args}
	page.add(`SELECT k.id, k.sort_key FROM (SELECT ` + t + `.id, ` + key + ` AS sort_key FROM ` + ix.table + ` ` + t +
		` WHERE ` + w.text.String() + `) k`)
	order := ` ORDER BY k.sort_key IS NULL, k.sort_key, k.id`
	if q.Sort.Descending {
		order = ` ORDER BY k.sort_key IS NULL DESC, k.sort_key DESC, k.id DESC`
	}
	switch {
	case q.After == "":
	case q.AfterKey == nil && !q.Sort.Descending:
		page.add(` WHERE k.sort_key IS NULL AND k.id > ?`, q.After)
	case q.AfterKey == nil:
		page.add(` WHERE k.sort_key IS NOT NULL OR k.id < ?`, q.After)
	case !q.Sort.Descending:
		page.add(` WHERE k.sort_key > `+operand+` OR k.sort_key = `+operand+` AND k.id > ? OR k.sort_key IS NULL`, *q.AfterKey, *q.AfterKey, q.After)
	default:
		page.add(` WHERE k.sort_key < `+operand+` OR k.sort_key = `+operand+` AND k.id < ?`, *q.AfterKey, *q.AfterKey, q.After)
	}
	page.add(order)
	page.page(q)
	page.args = append(page.args, w.conn.Tenant)
	return columns + `, k.sort_key FROM (` + page.text.String() + `) k JOIN ` + ix.table + ` ` + t + ` ON ` + t + `.tenant_id = ? AND ` + t + `.id = k.id` + order, page.args
}

// sortKey is what to sort by, as an SQL expression that is NULL when there is no
// value, and a placeholder that compares with it.
func (w *clause) sortKey(a Attr) (key, operand string) {
	const text, number = `?`, `(? + 0.0)`
	d, path, doc := w.dialect, strings.Join(a.Path, "."), w.index.alias+".search"
	if col, ok := w.index.times[path]; ok {
		return col, number
	}
	if col, ok := w.index.columns[path]; ok {
		return d.binary(`NULLIF(CAST(` + col + ` AS text), '')`), text
	}
	switch {
	case !a.Multi:
		key = jsonText(doc, a.Path)
	case len(a.Path) == 1:
		key = jsonPath(doc, a.Path) + ` ->> 0`
	default:
		list, rest := jsonPath(doc, a.Path[:1]), a.Path[1:]
		key = `COALESCE((SELECT ` + jsonText("e.value", rest) + ` FROM ` + d.elements(list) + ` WHERE e.value -> 'primary' = 'true' LIMIT 1), ` +
			jsonText(list+` -> 0`, rest) + `)`
	}
	if a.Type == TypeNumber {
		return d.number(`(` + key + `)`), number
	}
	return d.binary(`NULLIF(substr(` + key + `, 1, ` + strconv.Itoa(maxSortText) + `), '')`), text
}

// total counts what the query picks, unless the page shows it already.
func (r reader) total(ctx context.Context, c ConnectionRef, q Query, got int, ix index) (int, error) {
	if q.After == "" && got < q.Limit && (got > 0 || q.Offset == 0) {
		return q.Offset + got, nil
	}
	if q.Filter == nil {
		n, _, err := r.size(ctx, c, ix)
		return n, err
	}
	w := r.where(c, q, ix)
	var n int
	err := r.get(ctx, &n, `SELECT COUNT(*) FROM `+ix.table+` `+ix.alias+` WHERE `+w.text.String(), w.args...)
	return n, err
}

func (r reader) where(c ConnectionRef, q Query, ix index) *clause {
	w := &clause{dialect: r.pool.dialect, conn: c, index: ix}
	w.add(ix.alias+`.tenant_id = ? AND `+ix.alias+`.connection_id = ?`, c.Tenant, c.ID)
	if q.Filter != nil {
		// Without parentheses an "or" would reach past the connection and the tenant.
		w.add(` AND (`)
		w.filter(q.Filter, ix.alias+`.search`)
		w.add(`)`)
	}
	return w
}

// Scans counts the comparisons of a filter on users, or on groups, that no column
// or index answers: each looks into every document of the connection.
func Scans(f Filter, groups bool) int {
	ix := userIndex
	if groups {
		ix = groupIndex
	}
	return ix.scans(f)
}

func (ix index) scans(f Filter) int {
	count := func(parts []Filter) (n int) {
		for _, part := range parts {
			n += ix.scans(part)
		}
		return n
	}
	switch f := f.(type) {
	case And:
		return count(f)
	case Or:
		return count(f)
	case Not:
		return ix.scans(f.Filter)
	case Some:
		if or, ok := f.Where.(Or); ok && len(or) > 0 && ix.listed.is(f.Attr.Path) {
			n := 0
			for _, part := range or {
				n += ix.scans(Some{f.Attr, part})
			}
			return n
		}
		if _, ok := exactValue(f.Where); ok && ix.related[strings.Join(f.Attr.Path, ".")+".value"] != "" {
			return 0
		}
		return max(1, index{}.scans(f.Where))
	case Compare:
		path := strings.Join(f.Attr.Path, ".")
		exact := f.Op == Equal
		if path == "id" || exact && (ix.columns[path] != "" || ix.related[path] != "") {
			return 0
		}
	case SameGroups:
		return 10 // it takes longer, and two are too many
	}
	return 1
}

// index says what of a kind of resource is found by columns and tables instead
// of by looking into the searchable document.
type index struct {
	table, alias, kind, resourceType string
	// columns of names and flags, by the attribute's dotted path.
	columns map[string]string
	// times holds the columns of instants.
	times map[string]string
	// related holds subqueries of ids by an exact value. Their placeholders are
	// tenant, connection and value, once or more often.
	related map[string]string
	// listed is the attribute whose elements are rows.
	listed *listed
	// unique is the path of the name that is unique in a connection. It is a column
	// that is never empty, and has an index.
	unique string
}

var userIndex = index{
	table: "users", alias: "u", kind: "user", resourceType: "User", unique: "username", listed: groupsOfUser,
	columns: map[string]string{
		"username":     "u.user_name_key",
		"externalid":   "u.external_id",
		"displayname":  "u.display_name_key",
		"active":       "u.active",
		"meta.version": "u.version",
	},
	times: map[string]string{"meta.created": "u.created_at", "meta.lastmodified": "u.modified_at"},
	related: map[string]string{
		"emails.value": `SELECT user_id FROM user_emails WHERE tenant_id = ? AND connection_id = ? AND value_key = ?`,
		"groups.value": `WITH RECURSIVE within (tenant_id, id) AS (
				SELECT tenant_id, id FROM groups WHERE tenant_id = ? AND connection_id = ? AND id = ?
				UNION SELECT s.tenant_id, s.member_id FROM within w JOIN subgroups s ON s.tenant_id = w.tenant_id AND s.group_id = w.id)
			SELECT m.user_id FROM within w JOIN members m ON m.tenant_id = w.tenant_id AND m.group_id = w.id`,
	},
}

var groupIndex = index{
	table: "groups", alias: "g", kind: "group", resourceType: "Group", unique: "displayname", listed: membersOfGroup,
	columns: map[string]string{
		"externalid":   "g.external_id",
		"displayname":  "g.display_name_key",
		"meta.version": "g.version",
	},
	times: map[string]string{"meta.created": "g.created_at", "meta.lastmodified": "g.modified_at"},
	related: map[string]string{
		"members.value": `SELECT m.group_id FROM members m JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id
				WHERE m.tenant_id = ? AND u.connection_id = ? AND m.user_id = ?
			UNION ALL SELECT s.group_id FROM subgroups s JOIN groups i ON i.tenant_id = s.tenant_id AND i.id = s.member_id
				WHERE s.tenant_id = ? AND i.connection_id = ? AND s.member_id = ?`,
	},
}

// clause is a WHERE clause in the making.
type clause struct {
	dialect *dialect
	conn    ConnectionRef
	index   index
	text    strings.Builder
	args    []any
	// row has the columns of the row that is looked at instead of a document.
	row map[string]string
}

func (w *clause) add(text string, args ...any) {
	w.text.WriteString(text)
	w.args = append(w.args, args...)
}

// put adds another clause.
func (w *clause) put(more *clause) { w.add(more.text.String(), more.args...) }

// limit adds a number of rows: the common ones as they are, since SQLite plans a
// query with LIMIT ? anew each time it runs; the others as a value, since each
// text is a statement that is kept.
func (w *clause) limit(n int) {
	switch n {
	case 1, 2, 5, 10, 11, 20, 50, 51, 100, 101, 200, 500, 1000, 1001:
		w.add(strconv.Itoa(n))
	default:
		w.add("?", n)
	}
}

// page adds how many rows to give, and to leave out.
func (w *clause) page(q Query) {
	w.add(` LIMIT `)
	w.limit(q.Limit)
	if q.Offset > 0 {
		w.add(` OFFSET ?`, q.Offset)
	}
}

// filter adds a condition on a JSON document: the resource's searchable one, or
// an element of it. Each part is true or false, never NULL, so that NOT means
// not.
func (w *clause) filter(f Filter, doc string) {
	switch f := f.(type) {
	case And:
		w.join([]Filter(f), " AND ", "TRUE", doc)
	case Or:
		w.join([]Filter(f), " OR ", "FALSE", doc)
	case Not:
		w.add("NOT (")
		w.filter(f.Filter, doc)
		w.add(")")
	case Compare:
		w.compare(f, doc)
	case Present:
		w.present(f.Attr, doc)
	case Some:
		w.some(f, doc)
	case SameGroups:
		w.add(w.dialect.digest(w.dialect.allGroupsOfUser())+" = ?", f.Digest)
	}
}

func (w *clause) join(parts []Filter, op, empty, doc string) {
	if len(parts) == 0 {
		w.add(empty)
		return
	}
	for i, part := range parts {
		if i > 0 {
			w.add(op)
		}
		w.add("(")
		w.filter(part, doc)
		w.add(")")
	}
}

func (w *clause) compare(c Compare, doc string) {
	if c.Value == nil && c.Op == Equal { // null is the absence of a value (RFC 7643 §2.5)
		w.filter(Not{Present{c.Attr}}, doc)
		return
	}
	if c.Value == nil && c.Op != NotEqual {
		w.add("FALSE")
		return
	}
	if c.Op == NotEqual {
		c.Op = Equal
		w.add("NOT (")
		w.compare(c, doc)
		w.add(")")
		return
	}
	if w.row != nil {
		w.compareRow(c)
		return
	}
	if doc == w.index.alias+".search" {
		if where, ok := w.index.listed.spread(c); ok {
			w.someRow(where)
			return
		}
		if w.compareColumn(c) {
			return
		}
	}
	w.atValue(c.Attr, doc, func(json, text string) {
		w.add("COALESCE(")
		w.compareText(c, text)
		w.add(", FALSE)") // an absent value is NULL and stands in no relation
	})
}

// compareColumn adds a comparison that needs no look into the document, and
// reports whether there is one.
func (w *clause) compareColumn(c Compare) bool {
	path := strings.Join(c.Attr.Path, ".")
	text, isText := c.Value.(string)
	if path == "id" {
		// Ids are compared as what they are; one that can't exist is no error.
		switch {
		case c.Op == Equal && validID(text):
			w.add(w.index.alias+".id = ?", text)
		case c.Op == Equal:
			w.add("FALSE")
		default:
			w.compareKnown(c, "CAST("+w.index.alias+".id AS text)")
		}
		return true
	}
	if path == "meta.resourcetype" && isText {
		w.compareKnown(c, "'"+w.index.resourceType+"'")
		return true
	}
	if col, ok := w.index.times[path]; ok {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || sqlOp[c.Op] == "" {
			w.add("FALSE")
			return true
		}
		w.add(col+" "+sqlOp[c.Op]+" ?", At(at))
		return true
	}
	if col, ok := w.index.columns[path]; ok {
		switch {
		case isText && (text == "" || c.Op == Less || c.Op == LessOrEqual):
			// The column's '' means that there is no value; it equals nothing and
			// comes before nothing.
			w.add(col + " <> '' AND ")
			w.compareKnown(c, col)
		case isText:
			w.compareKnown(c, col)
		default:
			w.add(col+" = ?", c.Value)
		}
		return true
	}
	if query, ok := w.index.related[path]; ok && c.Op == Equal && isText {
		w.relate(query, text)
		return true
	}
	return false
}

// relate adds a condition that another table has a row for the value.
func (w *clause) relate(query, value string) {
	w.add(w.index.alias + ".id IN (")
	w.related(query, value)
	w.add(")")
}

// related adds one of the index's subqueries of that name.
func (w *clause) related(query, value string) {
	w.add(query)
	for range strings.Count(query, "?") / 3 {
		w.args = append(w.args, w.conn.Tenant, w.conn.ID, value)
	}
}

var sqlOp = map[Op]string{Equal: "=", Greater: ">", GreaterOrEqual: ">=", Less: "<", LessOrEqual: "<="}

// compareText adds the comparison of an SQL expression that may be NULL with the
// value.
func (w *clause) compareText(c Compare, text string) {
	w.add("COALESCE(")
	w.compareKnown(c, text)
	w.add(", FALSE)")
}

// compareKnown adds the comparison of an SQL expression that is never NULL, such
// as a column: as it stands, so that an index can serve it.
func (w *clause) compareKnown(c Compare, text string) {
	d := w.dialect
	switch v := c.Value.(type) {
	case bool:
		w.add(text+" = ?", d.boolean(v))
	case float64:
		op, ok := sqlOp[c.Op]
		if !ok { // a number contains nothing
			w.add("FALSE")
			return
		}
		w.add(d.number(text)+" "+op+" ?", v)
	case string:
		text = d.binary(text)
		switch c.Op {
		case Contains:
			w.add(d.contains(text), v)
		case StartsWith:
			w.add("substr("+text+", 1, ?) = ?", len([]rune(v)), v)
		case EndsWith:
			n := len([]rune(v))
			w.add("length("+text+") >= ? AND substr("+text+", length("+text+") - ? + 1) = ?", n, n, v)
		default:
			w.add(text+" "+sqlOp[c.Op]+" ?", v)
		}
	default:
		w.add("FALSE")
	}
}

func (w *clause) present(a Attr, doc string) {
	if doc == w.index.alias+".search" {
		path := strings.Join(a.Path, ".")
		if path == "id" || path == "meta" || strings.HasPrefix(path, "meta.") {
			w.add("TRUE")
			return
		}
		switch name, _, _ := strings.Cut(path, "."); name {
		case "groups":
			w.add("EXISTS (SELECT 1 FROM members m WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id)")
			return
		case "members":
			w.add(`(EXISTS (SELECT 1 FROM members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id)
				OR EXISTS (SELECT 1 FROM subgroups s WHERE s.tenant_id = g.tenant_id AND s.group_id = g.id))`)
			return
		}
	}
	w.atValue(a, doc, func(json, text string) {
		if json == "e.value" { // a simple value, which SQLite gives as such
			w.add("COALESCE(" + text + " <> '', FALSE)")
			return
		}
		w.add("COALESCE((" + json + `) NOT IN ('null', '""', '[]', '{}'), FALSE)`)
	})
}

func (w *clause) some(s Some, doc string) {
	if w.index.listed.is(s.Attr.Path) && doc == w.index.alias+".search" {
		w.someRow(s.Where)
		return
	}
	path := strings.Join(s.Attr.Path, ".")
	if value, ok := exactValue(s.Where); ok && doc == w.index.alias+".search" {
		// Find the few by index before looking into their documents.
		if query, ok := w.index.related[path+".value"]; ok {
			w.relate(query, value)
			w.add(" AND ")
		}
	}
	w.add("EXISTS (SELECT 1 FROM " + w.dialect.elements(jsonPath(doc, s.Attr.Path)) + " WHERE ")
	w.filter(s.Where, "e.value")
	w.add(")")
}

// exactValue finds the value that an element must have to fulfil f.
func exactValue(f Filter) (string, bool) {
	switch f := f.(type) {
	case Compare:
		v, ok := f.Value.(string)
		return v, ok && f.Op == Equal && len(f.Attr.Path) == 1 && f.Attr.Path[0] == "value"
	case And:
		for _, part := range f {
			if v, ok := exactValue(part); ok {
				return v, true
			}
		}
	}
	return "", false
}

// atValue adds a condition on the attribute's value as JSON and as text; on any
// of its values if it has many.
func (w *clause) atValue(a Attr, doc string, condition func(json, text string)) {
	if !a.Multi {
		condition(jsonPath(doc, a.Path), jsonText(doc, a.Path))
		return
	}
	w.add("EXISTS (SELECT 1 FROM " + w.dialect.elements(jsonPath(doc, a.Path[:1])) + " WHERE ")
	if rest := a.Path[1:]; len(rest) > 0 {
		condition(jsonPath("e.value", rest), jsonText("e.value", rest))
	} else {
		condition("e.value", w.dialect.elementText)
	}
	w.add(")")
}

// jsonPath is the JSON at a path; both databases understand it. Paths come from
// the schema.
func jsonPath(doc string, path []string) string {
	for _, name := range path {
		doc += " -> '" + strings.ReplaceAll(name, "'", "''") + "'"
	}
	return doc
}

// jsonText is the value at a path as SQL text (or number, or boolean).
func jsonText(doc string, path []string) string {
	last := len(path) - 1
	return jsonPath(doc, path[:last]) + " ->> '" + strings.ReplaceAll(path[last], "'", "''") + "'"
}
