package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Detail is one thing that a change changed: "" is nothing, before or after.
type Detail struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// maxDetails bounds the names of members that a change is shown with.
const maxDetails = 100

// ChangeDetails gives what a change changed, field by field. For what an identity
// provider sends it is found in the history, which is written anyway; ids of
// people, groups and sites are shown as their names.
func (r reader) ChangeDetails(ctx context.Context, c Change) ([]Detail, error) {
	details, err := r.changeDetails(ctx, c)
	if err == nil {
		err = r.nameIDs(ctx, c.TenantID, details)
	}
	if err != nil {
		return nil, fmt.Errorf("details of change %s: %w", c.ID, err)
	}
	return details, nil
}

func (r reader) changeDetails(ctx context.Context, c Change) ([]Detail, error) {
	switch c.Action {
	case UserCreated, UserUpdated, UserActivated, UserDeactivated, UserDeleted:
		details, err := r.versions(ctx, c, userVersions)
		if err == nil && c.Action == UserDeleted {
			var groups []Detail
			groups, err = r.membersBy(ctx, c, "group", userMemberships)
			details = append(details, groups...)
		}
		return details, err
	case GroupCreated, GroupUpdated:
		return r.versions(ctx, c, groupVersions)
	case GroupDeleted:
		details, err := r.versions(ctx, c, groupVersions)
		if err != nil {
			return nil, err
		}
		members, err := r.membersBy(ctx, c, "member", groupMembers)
		return append(details, members...), err
	case MembersChanged:
		members, err := r.membersBy(ctx, c, "member", groupMembers)
		if err != nil {
			return nil, err
		}
		return append(counted(c.Detail), members...), nil
	}
	var detail map[string]json.RawMessage
	if err := json.Unmarshal([]byte(c.Detail), &detail); err != nil {
		return nil, err
	}
	_, before := detail["before"]
	_, after := detail["after"]
	if !before && !after {
		return differences(nil, flat([]byte(c.Detail))), nil
	}
	details := differences(flat(detail["before"]), flat(detail["after"]))
	delete(detail, "before")
	delete(detail, "after")
	rest, err := json.Marshal(detail)
	return append(details, differences(nil, flat(rest))...), err
}

// counted are how many members came and went.
func counted(detail string) []Detail {
	all := flat([]byte(detail))
	delete(all, "named")
	return differences(nil, all)
}

// history names the tables that keep what something was.
type history struct{ now, past string }

var (
	userVersions  = history{"users", "users_past"}
	groupVersions = history{"groups", "groups_past"}
)

// versions compares what a user or group was with what it became. The former is
// the version that the change ended; the latter is the next one, or what is there.
func (r reader) versions(ctx context.Context, c Change, h history) ([]Detail, error) {
	var before, after struct {
		Version int64  `db:"version"`
		Doc     []byte `db:"doc"`
	}
	created := c.Action == UserCreated || c.Action == GroupCreated
	if !created {
		err := r.get(ctx, &before, `SELECT version, doc FROM `+h.past+` WHERE tenant_id = ? AND id = ? AND change_id = ?`, c.TenantID, c.SubjectID, c.ID)
		if errors.Is(err, ErrNotFound) {
			return nil, nil // it was from before there was history
		}
		if err != nil {
			return nil, err
		}
	}
	if c.Action != UserDeleted && c.Action != GroupDeleted {
		err := r.get(ctx, &after, `SELECT version, doc FROM `+h.past+` WHERE tenant_id = ? AND id = ? AND version > ?
			UNION ALL SELECT version, doc FROM `+h.now+` WHERE tenant_id = ? AND id = ? ORDER BY version LIMIT 1`,
			c.TenantID, c.SubjectID, before.Version, c.TenantID, c.SubjectID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return differences(flat(before.Doc), flat(after.Doc)), nil
}

// memberships says where to find who came and went by a change: the queries give
// at most maxDetails ids each.
type memberships struct{ other, own string }

var (
	groupMembers    = memberships{other: "user_id", own: "group_id"}
	userMemberships = memberships{other: "group_id", own: "user_id"}
)

func (r reader) membersBy(ctx context.Context, c Change, field string, m memberships) ([]Detail, error) {
	var details []Detail
	for _, of := range []struct {
		query string
		came  bool
	}{
		{`SELECT CAST(%[1]s AS text) FROM members_past WHERE tenant_id = ? AND %[2]s = ? AND end_change_id = ?`, false},
		{`SELECT CAST(%[1]s AS text) FROM members WHERE tenant_id = ? AND %[2]s = ? AND change_id = ?`, true},
		{`SELECT CAST(%[1]s AS text) FROM members_past WHERE tenant_id = ? AND %[2]s = ? AND change_id = ?`, true},
		{`SELECT CAST(member_id AS text) FROM subgroups_past WHERE tenant_id = ? AND group_id = ? AND end_change_id = ?`, false},
		{`SELECT CAST(member_id AS text) FROM subgroups WHERE tenant_id = ? AND group_id = ? AND change_id = ?`, true},
		{`SELECT CAST(member_id AS text) FROM subgroups_past WHERE tenant_id = ? AND group_id = ? AND change_id = ?`, true},
	} {
		query := of.query
		if strings.Contains(query, "%") {
			query = fmt.Sprintf(query, m.other, m.own)
		}
		var ids []string
		err := r.list(ctx, &ids, query+fmt.Sprintf(" LIMIT %d", maxDetails), c.TenantID, c.SubjectID, c.ID)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			d := Detail{Field: field, Before: id}
			if of.came {
				d.Before, d.After = "", id
			}
			details = append(details, d)
		}
	}
	return details[:min(len(details), maxDetails)], nil
}

// flat is a JSON object with a dotted name for each simple value in it; lists are
// values. What is no object is all of it: "value".
func flat(object []byte) map[string]string {
	all := map[string]string{}
	var walk func(prefix string, value json.RawMessage)
	walk = func(prefix string, value json.RawMessage) {
		var members map[string]json.RawMessage
		if json.Unmarshal(value, &members) == nil && members != nil {
			for name, member := range members {
				walk(strings.TrimPrefix(prefix+"."+name, "."), member)
			}
			return
		}
		all[cmp.Or(prefix, "value")] = shown(value)
	}
	walk("", object)
	return all
}

// shown is a JSON value as people read it: a text without quotes, nothing for null
// and for what is empty.
func shown(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		if text == "0001-01-01T00:00:00Z" {
			return ""
		}
		return text
	}
	var texts []string
	if json.Unmarshal(value, &texts) == nil {
		return strings.Join(texts, ", ")
	}
	// A multi-valued attribute (RFC 7643 §2.4): its values say what it is.
	var values []struct{ Value string }
	if json.Unmarshal(value, &values) == nil {
		texts = nil
		for _, v := range values {
			if v.Value != "" {
				texts = append(texts, v.Value)
			}
		}
		if len(texts) == len(values) {
			return strings.Join(texts, ", ")
		}
	}
	var b bytes.Buffer
	if json.Compact(&b, value) != nil || b.String() == "null" || b.String() == "[]" {
		return ""
	}
	return b.String()
}

// differences are the fields whose values differ, in their order by name.
func differences(before, after map[string]string) []Detail {
	fields := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(fields)
	details := []Detail{}
	for _, f := range slices.Compact(fields) {
		if before[f] != after[f] {
			details = append(details, Detail{Field: f, Before: before[f], After: after[f]})
		}
	}
	return details
}

var idPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// nameIDs puts names in the place of ids.
func (r reader) nameIDs(ctx context.Context, tenant TenantID, details []Detail) error {
	ids := map[string]bool{}
	for _, d := range details {
		for _, id := range idPattern.FindAllString(d.Before+" "+d.After, -1) {
			ids[id] = true
		}
	}
	names, err := r.names(ctx, tenant, sortedKeys(ids))
	if err != nil {
		return err
	}
	name := func(text string) string {
		return idPattern.ReplaceAllStringFunc(text, func(id string) string {
			if names[id] == "" {
				return id
			}
			return names[id]
		})
	}
	for i := range details {
		if details[i].Field != "id" {
			details[i].Before, details[i].After = name(details[i].Before), name(details[i].After)
		}
	}
	return nil
}
