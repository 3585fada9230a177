package store

import (
	"strings"
	"time"
	"unicode"

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

// Straight is a text for people to read: without the characters that turn the
// direction of writing (UAX #9, Bidi_Control). In "Bob\u202e nimdA" one of them turns
// round whatever follows in the line, which isn't Bob's to say. Programs get texts
// as they are.
func Straight(s string) string {
	if strings.IndexFunc(s, Turns) < 0 {
		return s
	}
	return strings.Map(func(c rune) rune {
		if Turns(c) {
			return -1
		}
		return c
	}, s)
}

// Turns reports whether a character turns the direction of writing, unseen.
func Turns(c rune) bool { return c >= 0x61c && unicode.Is(unicode.Bidi_Control, c) }

// SearchTime writes an instant as searchable documents hold it: UTC with
// exactly three decimals, so that text order is time order.
func SearchTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
