// Package policyfile is access as code: one YAML file for what there is to grant,
// where, who is granted what, and what must hold whatever is granted. The names
// in a file are those that people use: a group by its name, a site by its key, a
// person by her userName. docs/as-code.md describes the format.
//
//	dimensions: {site: Sites}
//	sites:
//	  site:
//	    nsw: {name: New South Wales, sites: {sydney: Sydney, newcastle: Newcastle}}
//	products:
//	  clicktime:
//	    levels: [view, maintain]
//	    dimensions: [site]
//	    permissions: {timesheet: Timesheet}
//	    roles:
//	      supervisor: {permissions: {timesheet: maintain}}
//	grants:
//	  clicktime:
//	  - {group: Sup NSW, role: supervisor, scope: {site: nsw}}
//	must-hold:
//	- {name: interns never maintain, group: Interns, never: timesheet, product: clicktime, level: maintain}
//
// Read finds all that is wrong with a file, each with its line. Preview says what
// a file would change and for whom, and Apply does just that, in a transaction
// of package store. Export writes a tenant as a file that changes nothing.
package policyfile

import (
	"fmt"
	"strings"
)

// The limits of a file. A tenant of 100,000 sites and 10,000 grants is within
// them.
const (
	MaxSize  = 16 << 20 // bytes
	maxDepth = 200      // of lists and maps within each other; a site takes two
)

// Mistake is one thing that is wrong with a file.
type Mistake struct {
	File string `json:"file"`
	// Line and Column count from 1; 0 is the file as a whole.
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"text"`
}

func (m Mistake) String() string {
	if m.Line == 0 {
		return m.File + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Text)
}

// Mistakes is the error of a file that can't be taken as it is: everything that
// was found, in the order of the file.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	const most = 50
	var b strings.Builder
	for i, mistake := range m[:min(len(m), most)] {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(mistake.String())
	}
	if len(m) > most {
		fmt.Fprintf(&b, "\nand %d more", len(m)-most)
	}
	return b.String()
}
