package ui

import (
	"cmp"
	"encoding/csv"
	"io"
	"net/http"
	"strings"

	"gatehouse/store"
)

// csv streams a table as a file (RFC 4180) that spreadsheets open as it is: UTF-8
// with a byte order mark. titles are keys of texts; rows gives some rows each time
// it is called, none at the end, and is asked for more when those are on their way:
// the file is never in memory as a whole. An error behind the first rows breaks the
// connection off, so that nobody takes a part for the whole.
func (v *visit) csv(w http.ResponseWriter, file string, titles []string, rows func() ([][]string, error)) error {
	heads := make([]string, len(titles))
	for i, key := range titles {
		heads[i] = v.words.t(key)
	}
	return v.csvOf(w, file, heads, rows)
}

// csvOf is csv with the heads as they are.
func (v *visit) csvOf(w http.ResponseWriter, file string, heads []string, rows func() ([][]string, error)) error {
	first, err := rows()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	io.WriteString(w, "\ufeff")
	out, way := csv.NewWriter(w), http.NewResponseController(w)
	out.UseCRLF = true
	write := func(row []string) {
		for i, cell := range row {
			row[i] = safeCell(cell)
		}
		_ = out.Write(row) // the browser may be gone, which Flush tells
	}
	write(heads)
	for rest := first; len(rest) > 0; {
		for _, row := range rest {
			write(row)
		}
		out.Flush()
		if err := cmp.Or(out.Error(), way.Flush()); err != nil {
			panic(http.ErrAbortHandler)
		}
		if rest, err = rows(); err != nil {
			v.server.log.Error("stream "+file, "error", err, "request", v.id)
			panic(http.ErrAbortHandler)
		}
	}
	if out.Flush(); out.Error() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// safeCell keeps a spreadsheet from taking a text for a formula, and a text from
// turning round the rest of its line.
func safeCell(text string) string {
	text = store.Straight(text)
	if strings.IndexAny(text, "=+-@\t\r\n") == 0 {
		return "'" + text
	}
	return text
}
