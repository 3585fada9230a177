package store

import (
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold is the one way in which Gatehouse compares names without regard to case:
// Unicode normal form C with full case folding. The databases' own lower()
// functions disagree (SQLite leaves É alone), so keys are folded here, stored
// in a …_key column, and UNIQUE stands on that column.
func Fold(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return lowerASCII(s)
	}
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
}

func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// SearchTime writes an instant as searchable documents hold it: UTC with
// exactly three decimals, so that text order is time order.
func SearchTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
