package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/scim"
	"gatehouse/store"
)

type requestsCmd struct {
	ofConnection `embed:""`

	Failed bool          `help:"Only those that were refused or failed."`
	Causes bool          `help:"What goes wrong, how often, and what to do about it." xor:"what"`
	ID     string        `name:"id" help:"One request in full, by its id or the beginning of it." placeholder:"ID" xor:"what"`
	Since  time.Duration `help:"How far back, such as 1h; by default everything that is kept." placeholder:"TIME"`
	User   string        `help:"Only those about a person, by userName or id." placeholder:"NAME" xor:"about"`
	Group  string        `help:"Only those about a group, by displayName or id." placeholder:"NAME" xor:"about"`
	Limit  int           `help:"The most to list." default:"50" placeholder:"N"`
}

// Help shows an example.
func (requestsCmd) Help() string {
	return `The newest come first. A request is there two seconds at the latest after its
answer; secrets never are. The settings record-for and record-personal of
'gatehouse serve' say how long, and how much, is kept.

Example: gatehouse requests --connection entra --failed --since 24h`
}

// AfterApply refuses what would find nothing.
func (c *requestsCmd) AfterApply() error {
	switch {
	case c.Since < 0:
		return fmt.Errorf("since %v: want a time back, such as 1h", c.Since)
	case c.Limit < 1 || c.Limit > 10_000:
		return fmt.Errorf("limit %d: want 1 to 10000", c.Limit)
	}
	return nil
}

// Run shows what was recorded.
func (c *requestsCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, _ store.Tenant, conn store.Connection) error {
		var since time.Time
		if c.Since > 0 {
			since = st.Now().Add(-c.Since)
		}
		switch {
		case c.ID != "":
			return c.one(a, st, conn)
		case c.Causes:
			return c.causes(a, st, conn, since)
		}
		return c.list(a, st, conn, since)
	})
}

// Widths of the list: all in all 100 columns.
const (
	pathWidth  = 23
	causeWidth = 17
)

// shortID is the beginning of an id, as much of it as holds the time.
func shortID(id store.RecordedID) string { return strings.ReplaceAll(string(id[:18]), "-", "") }

// ms writes microseconds in six columns.
func ms(took int64) string {
	if took < 1_000_000 {
		return fmt.Sprintf("%5.1f", float64(took)/1000)
	}
	return fmt.Sprintf("%d", took/1000)
}

func (c *requestsCmd) list(a *app, st *store.Store, conn store.Connection, since time.Time) error {
	about, err := c.about(a, st, conn)
	if err != nil {
		return err
	}
	requests, err := st.Requests(a.ctx, conn.Ref(), store.RequestQuery{Since: since, Failed: c.Failed, ResourceID: about, Limit: c.Limit})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Nothing like that of connection %s is recorded.\n", conn.Name)
	if len(requests) > 0 {
		text = table("ID\tTIME\tMETHOD\tPATH\tSTATUS\tCAUSE\tMS", func(row func(...any)) {
			for _, q := range requests {
				cause := q.Cause
				if q.Count > 1 {
					cause = fmt.Sprintf("%d× %s", q.Count, cause)
				}
				row(shortID(q.ID), q.At.Local().Format("01-02 15:04:05"), cmp.Or(q.Method, "-"), fit(shortPath(q), pathWidth),
					status(q), fit(cause, causeWidth), ms(q.Took))
			}
		})
	}
	return a.print(requests, text)
}

func status(q store.Request) string {
	if q.Status == 0 {
		return "-"
	}
	return fmt.Sprint(q.Status)
}

// shortPath writes a path so that the end of the id tells one from another.
func shortPath(q store.Request) string {
	path := q.Path
	if q.ResourceID != "" {
		path = strings.Replace(path, q.ResourceID, "…"+q.ResourceID[len(q.ResourceID)-8:], 1)
	}
	if q.Query != "" {
		path += "?" + q.Query
	}
	return cmp.Or(path, "-")
}

// fit cuts a text to a width.
func fit(text string, width int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// about is the id of the person or group that the list is about; whoever was
// deleted can only be found by the id.
func (c *requestsCmd) about(a *app, st *store.Store, conn store.Connection) (string, error) {
	switch {
	case c.User != "":
		id, err := userIn(a, st, conn, c.User)
		return string(id), err
	case c.Group != "":
		groups, _, err := st.Groups(a.ctx, conn.Ref(), equal("displayname", c.Group))
		if err != nil || len(groups) == 0 {
			return c.Group, err
		}
		return string(groups[0].ID), nil
	}
	return "", nil
}

// userIn is the id of a connection's person of a userName, or what was said instead.
func userIn(a *app, st *store.Store, conn store.Connection, said string) (store.UserID, error) {
	users, _, err := st.Users(a.ctx, conn.Ref(), equal("username", said))
	if err != nil || len(users) == 0 {
		return store.UserID(said), err
	}
	return users[0].ID, nil
}

// equal asks for the one that has a name, in any case.
func equal(attribute, name string) store.Query {
	return store.Query{Limit: 1, Filter: store.Compare{Attr: store.Attr{Path: []string{attribute}}, Op: store.Equal, Value: store.Fold(name)}}
}

// recorded is one request in full.
type recorded struct {
	store.Request
	Changes []store.Change `json:"changes"`
	Why     *scim.Cause    `json:"why,omitempty"`
}

// changesAtOnce is how many changes of a request are read at a time.
const changesAtOnce = 500

func (c *requestsCmd) one(a *app, st *store.Store, conn store.Connection) error {
	q, err := st.Request(a.ctx, conn.Ref(), c.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("connection %q has no request %q, or no longer: 'gatehouse requests --connection %s' lists them", conn.Name, c.ID, conn.Name)
	case errors.Is(err, store.ErrTaken):
		return fmt.Errorf("several requests begin with %q: give more of the id; --json lists have all of it", c.ID)
	case err != nil:
		return err
	}
	found := recorded{Request: q}
	for more := true; more; {
		after := store.ChangeID("")
		if n := len(found.Changes); n > 0 {
			after = found.Changes[n-1].ID
		}
		changes, err := st.ChangesOf(a.ctx, q, after, changesAtOnce)
		if err != nil {
			return err
		}
		found.Changes, more = append(found.Changes, changes...), len(changes) == changesAtOnce
	}
	if q.Cause != "" {
		why := scim.CauseOf(q.Cause)
		found.Why = &why
	}
	return a.print(found, found.text(conn))
}

func (r recorded) text(conn store.Connection) string {
	var b strings.Builder
	line := func(name string, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			b.WriteString(wrap(fmt.Sprintf("%-12s ", name), 13, text))
		}
	}
	target := r.Path
	if r.Query != "" {
		target += "?" + r.Query
	}
	line("Request", "%s", r.ID)
	line("Time", "%s, took %.1f ms", r.At.Local().Format("2006-01-02 15:04:05.000"), float64(r.Took)/1000)
	if r.Count > 1 {
		line("Stands for", "%d requests, of which it is the last", r.Count)
	}
	line("Sent", "%s %s", r.Method, target)
	line("Answered", "%s %s", status(r.Request), r.SCIMType)
	line("", "%s", r.Detail)
	if r.ResourceID != "" {
		line("About", "%s %s", r.ResourceKind, r.ResourceID)
	}
	line("Token", "%s", r.TokenID)
	line("In the log", "%s", r.RequestID)
	if r.Headers != "{}" {
		line("Headers", "%s", r.Headers)
	}
	if r.Notes != "{}" {
		line("Left out", "%s", r.Notes)
	}
	for i, change := range r.Changes {
		line([]string{"Changed", ""}[min(i, 1)], "%s %s %s", change.Action, change.SubjectName, cmp.Or(strings.Trim(change.Detail, "{}"), ""))
	}
	if r.Why != nil {
		b.WriteString("\n" + advice(*r.Why, conn))
	}
	b.WriteString(part("Body", r.Body, r.BodySize, r.BodyNote) + part("Answer", r.Answer, r.AnswerSize, r.AnswerNote))
	return b.String()
}

// part writes a body as people read it.
func part(name, text string, size int64, note string) string {
	if size == 0 {
		return ""
	}
	if note != "" {
		note = ", " + note
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(text), "  ", "  ") == nil {
		text = pretty.String()
	}
	if text != "" {
		text = "  " + text + "\n"
	}
	return fmt.Sprintf("\n%s (%d bytes%s)\n%s", name, size, note, text)
}

// counted is a cause with its words and an example.
type counted struct {
	scim.Cause
	Count   int              `json:"count"`
	First   store.Instant    `json:"first"`
	Last    store.Instant    `json:"last"`
	Example store.RecordedID `json:"example"`
	Request *store.Request   `json:"request"`
}

func (c *requestsCmd) causes(a *app, st *store.Store, conn store.Connection, since time.Time) error {
	counts, err := st.Causes(a.ctx, conn.Ref(), since)
	if err != nil {
		return err
	}
	all := []counted{}
	var b strings.Builder
	for _, n := range counts {
		found := counted{Cause: scim.CauseOf(n.Cause), Count: n.Count, First: n.First, Last: n.Last, Example: n.Example}
		example, err := st.Request(a.ctx, conn.Ref(), string(n.Example))
		switch {
		case err == nil:
			example.Body, example.Answer = "", ""
			found.Request = &example
		case !errors.Is(err, store.ErrNotFound): // its time may have come a moment ago
			return err
		}
		all = append(all, found)
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(found.text(conn))
	}
	if len(all) == 0 {
		b.WriteString("Nothing went wrong, as far as it is recorded.\n")
	}
	return a.print(all, b.String())
}

func (n counted) text(conn store.Connection) string {
	text := fmt.Sprintf("%d× %s (%s)\n  first %s, last %s\n", n.Count, n.Title, n.Code, moment(n.First), moment(n.Last))
	text += advice(n.Cause, conn)
	if q := n.Request; q != nil {
		text += wrap("  Example    ", 13, fmt.Sprintf("%s  %s %s  %s", shortID(n.Example), q.Method, fit(shortPath(*q), 40), status(*q)))
		if q.Detail != "" {
			text += wrap(strings.Repeat(" ", 13), 13, q.Detail)
		}
	}
	return text
}

// advice says what happened and what to do at the connection's provider, or at
// both when it is neither.
func advice(c scim.Cause, conn store.Connection) string {
	text := wrap("  Why        ", 13, c.Happened)
	if conn.IdP != store.IdPOkta {
		text += wrap("  In Entra   ", 13, c.Entra)
	}
	if conn.IdP != store.IdPEntra {
		text += wrap("  In Okta    ", 13, c.Okta)
	}
	return text
}

// textWidth is how wide terminals are at least, we hope.
const textWidth = 100

// wrap writes words behind a label, in lines that are indented below it.
func wrap(label string, indent int, text string) string {
	var b strings.Builder
	b.WriteString(label)
	at := utf8.RuneCountInString(label)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > textWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteString("\n")
	return b.String()
}
