package policyfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/access"
	"gatehouse/store"

	"go.yaml.in/yaml/v3"
)

// siteColumns are those of a file of sites. A parent is named by its key; who has
// none is at the top.
var siteColumns = []string{"dimension", "key", "name", "parent", "archived"}

// A spreadsheet takes a cell that begins like this for a formula and runs it. An
// apostrophe before it makes it a text again; one that is there already, too, so
// that reading can take away the one that writing put there.
var formula = regexp.MustCompile(`^'*[-=+@\t\r\n]`)

func toCell(text string) string {
	if formula.MatchString(text) {
		return "'" + text
	}
	return text
}

func fromCell(cell string) string {
	if strings.HasPrefix(cell, "'") && formula.MatchString(cell) {
		return cell[1:]
	}
	return cell
}

// ExportSites writes a tenant's sites as CSV, each after the one above it. Read
// again, it changes nothing.
func ExportSites(now store.Snapshot) ([]byte, error) {
	x := exporter{Words: NewWords(now, now.Catalogue)}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(siteColumns) // Flush has the error
	below := make(map[access.SiteID][]access.Site)
	for _, s := range sortedBy(now.Catalogue.Sites, func(s access.Site) string { return string(s.Dimension) + "\x00" + SiteRef(s) }) {
		below[s.Parent] = append(below[s.Parent], s)
	}
	var write func(parent access.SiteID)
	write = func(parent access.SiteID) {
		for _, s := range below[parent] {
			row := []string{string(s.Dimension), SiteRef(s), s.Name, "", "no"}
			if parent != "" {
				row[3] = x.Site(parent)
			}
			if s.Archived {
				row[4] = "yes"
			}
			for i, text := range row {
				row[i] = toCell(text)
			}
			_ = w.Write(row)
			write(s.ID)
		}
	}
	write("")
	w.Flush()
	return b.Bytes(), w.Error()
}

// ReadSites makes of a CSV file what it says about a tenant's sites: those that
// it names are added, or become what it says. Others stay as they are, and so
// does what a column that is left out would say. Its error is Mistakes, each with
// the line of its row.
func ReadSites(file string, data []byte, now store.Snapshot) (*Wanted, error) {
	r := &fileReader{reader: reader{file: file}, now: now}
	r.readSites(nil) // what there is
	sites := make(map[access.SiteID]access.Site)
	for _, s := range now.Catalogue.Sites {
		sites[s.ID] = s
	}
	rows := r.rows(data)
	lines := make(map[access.SiteID]int)
	for i := range rows {
		row := &rows[i]
		if row.site = r.siteOf(row, sites); row.site == "" {
			continue
		}
		if line, twice := lines[row.site]; twice {
			r.failRow(row.line, "site %q is in line %d already", row.of["key"], line)
		}
		lines[row.site] = row.line
	}
	for _, row := range rows {
		r.parentOf(row, sites)
	}
	seen := make(map[access.SiteID]bool)
	for _, row := range rows {
		if loop(row.site, sites, seen) {
			r.failRow(row.line, "site %q would come to be below itself", row.of["key"])
			break
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	r.HasSites = true
	placed := make(map[access.SiteID]bool)
	var place func(id access.SiteID)
	place = func(id access.SiteID) {
		if _, named := lines[id]; named && !placed[id] {
			placed[id] = true
			place(sites[id].Parent)
			r.Sites = append(r.Sites, sites[id])
		}
	}
	for _, row := range rows {
		place(row.site)
	}
	return &r.Wanted, nil
}

func (r *fileReader) failRow(line int, format string, args ...any) {
	r.fail(&yaml.Node{Line: line, Column: 1}, format, args...)
}

// siteRow is a row of a file of sites: its cells by column, and the site that it
// is about.
type siteRow struct {
	line int
	of   map[string]string
	site access.SiteID
}

// rows reads a table with its head. Spreadsheets in much of Europe write
// semicolons.
func (r *fileReader) rows(data []byte) []siteRow {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > MaxSize:
		r.fail(nil, "%d bytes are too many: the limit is %d", len(data), MaxSize)
		return nil
	case !utf8.Valid(data) || bytes.ContainsRune(data, 0):
		r.fail(nil, "is no UTF-8 text: save it as \"CSV UTF-8\"")
		return nil
	}
	table := csv.NewReader(bytes.NewReader(data))
	if head, _, _ := bytes.Cut(data, []byte("\n")); bytes.Contains(head, []byte(";")) && !bytes.Contains(head, []byte(",")) {
		table.Comma = ';'
	}
	columns, err := table.Read()
	if err != nil {
		r.table(err, "want a line of column names first: %s", strings.Join(siteColumns, ","))
		return nil
	}
	for i, column := range columns {
		columns[i] = strings.ToLower(strings.TrimSpace(column))
		if !slices.Contains(siteColumns, columns[i]) || slices.Contains(columns[:i], columns[i]) {
			r.failRow(1, "column %q: unknown or twice%s", column, meant(&r.reader, columns[i], siteColumns))
		}
	}
	for _, needed := range []string{"dimension", "key"} {
		if !slices.Contains(columns, needed) {
			r.failRow(1, "there is no column %q", needed)
		}
	}
	var all []siteRow
	for len(r.mistakes) == 0 {
		row, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.table(err, "")
			break
		}
		line, _ := table.FieldPos(0)
		one := siteRow{line: line, of: make(map[string]string)}
		for i, cell := range row {
			one.of[columns[i]] = fromCell(cell)
		}
		all = append(all, one)
	}
	return all
}

// table is what the CSV parser has to say.
func (r *fileReader) table(err error, format string, args ...any) {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		r.failRow(parse.Line, "no CSV: %v", parse.Err)
		return
	}
	r.fail(nil, format, args...)
}

// siteOf puts what a row says into sites, but for the parent; empty if something
// is wrong with it.
func (r *fileReader) siteOf(row *siteRow, sites map[access.SiteID]access.Site) access.SiteID {
	before := len(r.mistakes)
	dimension, key := access.DimensionID(row.of["dimension"]), row.of["key"]
	ids, known := r.sites[dimension]
	if !known {
		r.failRow(row.line, "unknown dimension %q%s", dimension, meant(&r.reader, string(dimension), sortedKeys(&r.reader, r.sites)))
	}
	id, there := ids[key]
	s := access.Site{ID: access.SiteID(newSite + string(dimension) + "/" + key), Dimension: dimension, Key: key}
	switch {
	case there:
		s = sites[id]
	case key == "":
		r.failRow(row.line, "the key is empty")
	case strings.HasPrefix(key, "#"):
		r.failRow(row.line, "%s: no site of that id; a new one has a key, which doesn't begin with #", key)
	}
	if name, ok := row.of["name"]; ok && name != strings.ReplaceAll(s.Name, "\r\n", "\n") { // CSV has one end of line
		s.Name = name
	}
	if archived, ok := row.of["archived"]; ok {
		switch strings.ToLower(archived) {
		case "yes", "true", "1":
			s.Archived = true
		case "no", "false", "0", "":
			s.Archived = false
		default:
			r.failRow(row.line, "archived: want yes or no, got %q", archived)
		}
	}
	if len(r.mistakes) > before {
		return ""
	}
	ids[key], sites[s.ID] = s.ID, s
	return s.ID
}

// parentOf puts the site above a row's into sites; it may be another row's.
func (r *fileReader) parentOf(row siteRow, sites map[access.SiteID]access.Site) {
	key, ok := row.of["parent"]
	s, read := sites[row.site]
	if !ok || !read {
		return
	}
	ids := r.sites[s.Dimension]
	if s.Parent = ids[key]; key != "" && s.Parent == "" {
		r.failRow(row.line, "site %q: unknown parent %q%s", row.of["key"], key, meant(&r.reader, key, sortedKeys(&r.reader, ids)))
		return
	}
	sites[s.ID] = s
}

// loop finds whether the way up from a site comes to a site twice. Seen are those
// from which it is known not to.
func loop(id access.SiteID, sites map[access.SiteID]access.Site, seen map[access.SiteID]bool) bool {
	way := make(map[access.SiteID]bool)
	for ; id != "" && !seen[id]; id = sites[id].Parent {
		if way[id] {
			return true
		}
		way[id] = true
	}
	maps.Copy(seen, way)
	return false
}
