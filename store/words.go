package store

import (
	"database/sql/driver"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"modernc.org/sqlite"
)

// People are found by how words of their names begin. The indexes of the two names
// find those whose name itself begins so; user_words has the other words. Both say
// at once whom a word is about, and whether those are few.

// separators are what stands between words, as Go, PostgreSQL's regular expressions
// and SQLite's GLOB all write a set of characters: of ASCII all but letters and
// digits, and Unicode's spaces, dashes and quotation marks.
const separators = "[\x01-/:-`{-\x7f\u00a0\u2000-\u206f\u3000]"

var betweenWords = regexp.MustCompile(separators + "+")

// lastRune stands behind whatever a word goes on with.
const lastRune = "\U0010FFFF"

// words are the different words of a folded text, in the order of the alphabet.
func words(folded string) []string {
	all := betweenWords.Split(folded, -1)
	slices.Sort(all)
	all = slices.Compact(all)
	if all[0] == "" {
		all = all[1:]
	}
	return all
}

// furtherWords are the words that a user of these folded names has to be found by,
// besides the names themselves. What stands behind the @ of a user name isn't one:
// everybody has it.
func furtherWords(displayName, userName string) []string {
	local, _, _ := strings.Cut(userName, "@")
	return slices.DeleteFunc(words(displayName+" "+local), func(word string) bool {
		return strings.HasPrefix(displayName, word) || strings.HasPrefix(userName, word)
	})
}

// dotted is what case folding makes of İ: an i with a dot of its own. Who types an i
// means it, too.
const dotted = "i\u0307"

// spellings are how a word that somebody typed may stand in folded names, as it was
// typed first: with each İ as an i, and with an İ for the first letter or for every i,
// as in "İbrahim" and in "ALİ". One that begins with another is left out.
func spellings(word string) []string {
	all, plain := []string{word}, strings.ReplaceAll(word, dotted, "i")
	others := []string{plain, strings.ReplaceAll(plain, "i", dotted)}
	if rest, ok := strings.CutPrefix(plain, "i"); ok {
		others = append(others, dotted+rest)
	}
	for _, other := range others {
		if !slices.ContainsFunc(all, func(one string) bool { return strings.HasPrefix(other, one) }) {
			all = append(all, other)
		}
	}
	return all
}

// Called gives what says of the names of a user whether a text is typed for her, as
// PeopleFilter.Text is but for e-mail addresses: for lists of the past.
func Called(text string) func(displayName, userName string) bool {
	typed := strings.TrimSpace(Fold(text))
	sought := words(typed)
	sought = sought[:min(len(sought), maxWords)]
	return func(displayName, userName string) bool {
		display, user := Fold(displayName), Fold(userName)
		if !isText(text) || typed != "" && len(sought) == 0 {
			return false
		}
		if strings.Contains(typed, "@") {
			return strings.HasPrefix(user, typed)
		}
		local, _, _ := strings.Cut(user, "@")
		have := words(display + " " + local)
		return !slices.ContainsFunc(sought, func(word string) bool {
			return !slices.ContainsFunc(spellings(word), func(word string) bool {
				return slices.ContainsFunc(have, func(one string) bool { return strings.HasPrefix(one, word) })
			})
		})
	}
}

// setWords makes the words that a user of a connection is found by those of her
// names, given who she was before. The zero User has no names.
func (tx *Tx) setWords(c ConnectionRef, id UserID, before, now User) {
	if before.DisplayName == now.DisplayName && before.UserName == now.UserName {
		return
	}
	have := furtherWords(Fold(before.DisplayName), Fold(before.UserName))
	want := furtherWords(Fold(now.DisplayName), Fold(now.UserName))
	without := func(all, some []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(word string) bool { return slices.Contains(some, word) })
	}
	d := tx.pool.dialect
	if gone := without(have, want); len(gone) > 0 {
		tx.later(`DELETE FROM user_words WHERE tenant_id = ? AND user_id = ? AND word IN (`+d.texts+`)`, c.Tenant, id, d.idList(gone))
	}
	if come := without(want, have); len(come) > 0 {
		tx.insertFrom(d.wordRows, c.Tenant, id, list(come))
	}
}

// usersByWord is a query for the ids of the users of a tenant who have a word between
// two; some come more than once.
const usersByWord = `SELECT u.id` + usersByDisplayName + `
	UNION ALL SELECT u.id` + usersByUserName + `
	UNION ALL SELECT w.user_id` + usersByOtherWord

// Its parts are the rest of queries; userRow is what users are picked by, and
// namesOfUser what they are put in order by.
const (
	usersByDisplayName = usersOfAll + displayNameBetween
	usersByUserName    = usersOfAll + userNameBetween
	usersByOtherWord   = ` FROM user_words w WHERE w.tenant_id = ? AND w.word >= ? AND w.word <= ?`

	usersOfAll         = ` FROM connections c CROSS JOIN users u WHERE c.tenant_id = ? AND u.tenant_id = c.tenant_id AND u.connection_id = c.id AND `
	displayNameBetween = `u.display_name_key >= ? AND u.display_name_key <= ?`
	userNameBetween    = `u.user_name_key >= ? AND u.user_name_key <= ?`

	userRow     = `SELECT u.tenant_id, u.id, u.connection_id, u.active, u.display_name_key, u.user_name_key`
	namesOfUser = `SELECT u.id, u.display_name_key`
)

// usersBegunBy is that query for the words that begin with one of some, with its
// parameters.
func usersBegunBy(tenant TenantID, beginnings []string) (query string, args []any) {
	var queries []string
	for _, word := range beginnings {
		queries = append(queries, usersByWord)
		args = append(args, slices.Repeat([]any{tenant, word, word + lastRune}, 3)...)
	}
	return strings.Join(queries, "\n\tUNION ALL "), args
}

// SQLite has no function that cuts a text into words, so that its migration and
// Verify get one of ours: a JSON array of those of a folded text.
func init() {
	sqlite.MustRegisterDeterministicScalarFunction("gatehouse_words", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		text, _ := args[0].(string)
		return list(words(text)), nil
	})
}

// list is a JSON array of words.
func list(words []string) string {
	text, _ := json.Marshal(words)
	return string(text)
}
