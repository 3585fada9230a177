package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// RecordedID names a Request. It begins with the time of the request.
type RecordedID string

// Request is what an identity provider sent and what it was answered, as the
// flight recorder kept it: without secrets, and cut to a bound. It is no change
// of the directory, has no row in the log, and goes after a while.
type Request struct {
	TenantID     TenantID     `db:"tenant_id" json:"tenant_id"`
	ID           RecordedID   `db:"id" json:"id"`
	ConnectionID ConnectionID `db:"connection_id" json:"connection_id"`
	// At is when the request came; written, it orders requests to the microsecond.
	At Instant `db:"at" json:"at"`
	// Took is how long the answer took, in microseconds.
	Took int64 `db:"took_us" json:"took_us"`
	// Count is how many requests the row stands for, 1 but for those that were
	// only counted.
	Count int `db:"count" json:"count"`
	// TokenID is the token that opened the connection, or the credential at the
	// token endpoint; "" for refused requests.
	TokenID string `db:"token_id" json:"token_id,omitempty"`
	// RequestID ties the request to its log line and to its changes.
	RequestID string `db:"request_id" json:"request_id,omitempty"`
	Method    string `db:"method" json:"method"`
	Path      string `db:"path" json:"path"`
	Query     string `db:"query" json:"query,omitempty"`
	Status    int    `db:"status" json:"status"`
	SCIMType  string `db:"scim_type" json:"scim_type,omitempty"`
	// Cause is a stable code for what went wrong, "" when nothing did. There may
	// be one although the request was answered 2xx: something was left out.
	Cause string `db:"cause" json:"cause,omitempty"`
	// Detail is the sentence of the answered error.
	Detail string `db:"detail" json:"detail,omitempty"`
	// ResourceKind and ResourceID are the user or group that the request is about,
	// "" when it is about none.
	ResourceKind string `db:"resource_kind" json:"resource_kind,omitempty"`
	ResourceID   string `db:"resource_id" json:"resource_id,omitempty"`
	// Headers is a JSON object with those that tell something, Notes one with what
	// was left out: {"ignored":["nick"],"unknown_members":2}; {} for none.
	Headers string `db:"headers" json:"headers"`
	Notes   string `db:"notes" json:"notes"`
	// Body and Answer are what was kept, and the notes say why that is not all;
	// sizes are those of the originals in bytes. Lists leave both texts out.
	Body       string `db:"body" json:"body,omitempty"`
	BodySize   int64  `db:"body_size" json:"body_size"`
	BodyNote   string `db:"body_note" json:"body_note,omitempty"`
	Answer     string `db:"answer" json:"answer,omitempty"`
	AnswerSize int64  `db:"answer_size" json:"answer_size"`
	AnswerNote string `db:"answer_note" json:"answer_note,omitempty"`
}

// The kinds of a Request's resource.
const (
	ResourceUser  = "user"
	ResourceGroup = "group"
)

// requestColumns are those of a list, which holds no bodies.
const requestColumns = `tenant_id, id, connection_id, at, took_us, count, token_id, request_id, method, path, query, status,
	scim_type, cause, detail, resource_kind, resource_id, headers, notes, body_size, body_note, answer_size, answer_note`

// timeID is an id that begins with t, in the form of a UUIDv7 whose fraction of
// the millisecond leads the random bits (RFC 9562 §6.2, method 3).
func timeID(t time.Time, random uuid.UUID) string {
	id := random
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|uint64(t.Nanosecond()%1e6)<<12/1e6&0xfff|0x7000)
	return id.String()
}

// firstIDAt is below every id made at t or later. The zero time is before all.
func firstIDAt(t time.Time) string {
	return timeID(time.UnixMilli(max(t.UnixMilli(), 0)), uuid.Nil)
}

// RequestQuery says which requests of a connection to list.
type RequestQuery struct {
	// Since is the earliest time; zero means all that are kept.
	Since time.Time
	// Failed leaves out what was answered 2xx and 3xx.
	Failed bool
	// ResourceID is the user or group to list the requests of; "" means all.
	ResourceID string
	// Cause is the one to list the requests of; "" means all.
	Cause string
	// Before is the request behind which the list goes on; "" begins it.
	Before RecordedID
	// Limit is the most rows to give.
	Limit int
}

// Requests gives the newest requests of a connection, newest first, without
// their bodies.
func (r reader) Requests(ctx context.Context, c ConnectionRef, q RequestQuery) ([]Request, error) {
	query := `SELECT ` + requestColumns + ` FROM requests WHERE tenant_id = ? AND connection_id = ? AND id >= ?`
	args := []any{c.Tenant, c.ID, firstIDAt(q.Since)}
	if q.Failed {
		query += ` AND cause <> '' AND status >= 400`
	}
	if q.ResourceID != "" {
		query += ` AND resource_id <> '' AND resource_id = ?`
		args = append(args, q.ResourceID)
	}
	if q.Cause != "" {
		query += ` AND cause <> '' AND cause = ?`
		args = append(args, q.Cause)
	}
	if q.Before != "" {
		query += ` AND id < ?`
		args = append(args, q.Before)
	}
	requests := []Request{}
	if !isText(q.ResourceID) || !isText(q.Cause) || q.Before != "" && !validID(string(q.Before)) || !validID(string(c.ID)) {
		return requests, nil
	}
	err := r.list(ctx, &requests, query+` ORDER BY id DESC LIMIT ?`, append(args, q.Limit)...)
	return requests, err
}

// Request gives a whole request of a connection by its id, or by so much of the
// id's beginning that no other one has it. ErrNotFound when there is none, and
// ErrTaken when there are several.
func (r reader) Request(ctx context.Context, c ConnectionRef, id string) (Request, error) {
	first, last, ok := idRange(id)
	if !ok {
		return Request{}, fmt.Errorf("request %q: %w", id, ErrNotFound)
	}
	var found []Request
	err := r.list(ctx, &found, `SELECT `+requestColumns+`, body, answer FROM requests
		WHERE tenant_id = ? AND connection_id = ? AND id >= ? AND id <= ? ORDER BY id LIMIT 2`, c.Tenant, c.ID, first, last)
	switch {
	case err != nil:
		return Request{}, err
	case len(found) == 0:
		return Request{}, fmt.Errorf("request %q: %w", id, ErrNotFound)
	case len(found) > 1:
		return Request{}, fmt.Errorf("request %q: several begin like that: %w", id, ErrTaken)
	}
	return found[0], nil
}

// idRange gives the smallest and the largest id that begin with prefix.
func idRange(prefix string) (first, last string, ok bool) {
	digits := strings.ReplaceAll(prefix, "-", "")
	if digits == "" || len(digits) > 32 {
		return "", "", false
	}
	var ids [2]uuid.UUID
	for i, fill := range []string{"0", "f"} {
		if _, err := hex.Decode(ids[i][:], []byte(digits+strings.Repeat(fill, 32-len(digits)))); err != nil {
			return "", "", false
		}
	}
	return ids[0].String(), ids[1].String(), true
}

// requestMargin is how far the clocks of a request's row and of its changes'
// ids may be apart.
const requestMargin = time.Second

// ChangesOf gives the changes that a request made, oldest first, behind one of an
// earlier page (empty means the first page), at most limit. A bulk makes thousands.
func (r reader) ChangesOf(ctx context.Context, q Request, after ChangeID, limit int) ([]Change, error) {
	changes := []Change{}
	if q.RequestID == "" {
		return changes, nil
	}
	from := firstIDAt(q.At.Add(-requestMargin))
	if after != "" && !validID(string(after)) {
		return nil, fmt.Errorf("change %q: %w", cut(string(after), 100), ErrNotFound)
	}
	until := q.At.Add(time.Duration(q.Took)*time.Microsecond + requestMargin)
	err := r.list(ctx, &changes, `SELECT `+changeSelection+` FROM changes
		WHERE tenant_id = ? AND id >= ? AND id > ? AND id < ? AND request_id = ? AND connection_id = ? ORDER BY id LIMIT ?`,
		q.TenantID, from, cmp.Or(string(after), firstID), firstIDAt(until), q.RequestID, q.ConnectionID, limit)
	return changes, err
}

// CauseCount says how often a cause was met.
type CauseCount struct {
	Cause string  `db:"cause" json:"cause"`
	Count int     `db:"times" json:"count"`
	First Instant `db:"first" json:"first"`
	Last  Instant `db:"last" json:"last"`
	// Example is the newest request with that cause.
	Example RecordedID `db:"example" json:"example"`
}

// Causes counts a connection's requests that went wrong, or not quite right, by
// cause, the most frequent first.
func (r reader) Causes(ctx context.Context, c ConnectionRef, since time.Time) ([]CauseCount, error) {
	counts := []CauseCount{}
	err := r.list(ctx, &counts, `SELECT cause, CAST(SUM(count) AS bigint) AS times, MIN(at) AS first, MAX(at) AS last, MAX(CAST(id AS text)) AS example
		FROM requests WHERE tenant_id = ? AND connection_id = ? AND id >= ? AND cause <> ''
		GROUP BY cause ORDER BY times DESC, cause LIMIT 100`, c.Tenant, c.ID, firstIDAt(since))
	return counts, err
}

// Failing are the connections of a tenant that have answered a request with an error
// since then.
func (r reader) Failing(ctx context.Context, tenant TenantID, since time.Time) ([]ConnectionID, error) {
	ids := []ConnectionID{}
	err := r.list(ctx, &ids, `SELECT c.id FROM connections c WHERE c.tenant_id = ? AND c.ended_at = 0 AND EXISTS (
			SELECT 1 FROM requests q WHERE q.tenant_id = c.tenant_id AND q.connection_id = c.id AND q.id >= ? AND q.cause <> '' AND q.status >= 400)
		ORDER BY c.id`, tenant, firstIDAt(since))
	return ids, err
}

// HourCount is how many requests came in an hour.
type HourCount struct {
	// Hour is its beginning.
	Hour   Instant `json:"hour"`
	Count  int     `json:"count"`
	Failed int     `json:"failed"`
}

// RequestsByHour counts a connection's requests by the hour, the earliest hour first;
// hours without any are left out. It reads them all, so it is for people, not for
// request paths.
func (r reader) RequestsByHour(ctx context.Context, c ConnectionRef, since time.Time) ([]HourCount, error) {
	const hour = int64(time.Hour / time.Millisecond)
	hours := []HourCount{}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var n HourCount
		var number int64
		err := rows.Scan(&number, &n.Count, &n.Failed)
		n.Hour = At(time.UnixMilli(number * hour))
		hours = append(hours, n)
		return err
	}, `SELECT at / ? AS hour, CAST(SUM(count) AS bigint), CAST(SUM(CASE WHEN status >= 400 THEN count ELSE 0 END) AS bigint)
		FROM requests WHERE tenant_id = ? AND connection_id = ? AND id >= ? GROUP BY 1 ORDER BY 1`, hour, c.Tenant, c.ID, firstIDAt(since))
	return hours, err
}

// ConnectionOf finds the tenant of a connection, for requests that nobody has
// proved to belong to it.
func (r reader) ConnectionOf(ctx context.Context, id ConnectionID) (ConnectionRef, error) {
	if !validID(string(id)) {
		return ConnectionRef{}, fmt.Errorf("connection: %w", ErrNotFound)
	}
	ref := ConnectionRef{ID: id}
	err := r.row(ctx, []any{&ref.Tenant}, `SELECT tenant_id FROM connections WHERE id = ?`, id)
	return ref, err
}

// ConnectionOfClient finds the connection of a client, live or revoked.
func (r reader) ConnectionOfClient(ctx context.Context, id ClientID) (ConnectionRef, error) {
	if !validID(string(id)) {
		return ConnectionRef{}, fmt.Errorf("client: %w", ErrNotFound)
	}
	var ref ConnectionRef
	err := r.row(ctx, []any{&ref.Tenant, &ref.ID}, `SELECT tenant_id, connection_id FROM clients WHERE id = ?`, id)
	return ref, err
}

// RecordRequests keeps requests, of any tenant, and gives them their ids. It is
// no change of the directory and leaves no row in the log.
func (tx *Tx) RecordRequests(ctx context.Context, requests []Request) error {
	const columns = 25
	// Few sizes, so that there are few statements to prepare.
	for size := 64; len(requests) > 0; size /= 2 {
		for len(requests) >= size {
			args := make([]any, 0, columns*size)
			for i := range requests[:size] {
				q := &requests[i]
				q.ID = RecordedID(timeID(q.At.Time, uuid.New()))
				args = append(args, q.TenantID, q.ID, q.ConnectionID, q.At, q.Took, q.Count, q.TokenID, q.RequestID,
					q.Method, q.Path, q.Query, q.Status, q.SCIMType, q.Cause, q.Detail, q.ResourceKind, q.ResourceID,
					q.Headers, q.Notes, q.BodySize, q.BodyNote, q.AnswerSize, q.AnswerNote, q.Body, q.Answer)
			}
			row := ", (?" + strings.Repeat(", ?", columns-1) + ")"
			_, err := tx.exec(ctx, `INSERT INTO requests (`+requestColumns+`, body, answer) VALUES `+strings.Repeat(row, size)[2:], args...)
			if err != nil {
				return fmt.Errorf("requests: %w", err)
			}
			requests = requests[size:]
		}
	}
	return nil
}

// SweepRequests deletes at most limit requests from before that time and gives
// their number, 0 when none is left.
func (tx *Tx) SweepRequests(ctx context.Context, before time.Time, limit int) (int, error) {
	tenants, err := tx.Tenants(ctx)
	if err != nil {
		return 0, err
	}
	swept := 0
	for _, t := range tenants {
		if swept >= limit {
			break
		}
		n, err := tx.exec(ctx, `DELETE FROM requests WHERE tenant_id = ? AND id IN (
			SELECT id FROM requests WHERE tenant_id = ? AND id < ? ORDER BY id LIMIT ?)`, t.ID, t.ID, firstIDAt(before), limit-swept)
		if err != nil {
			return 0, err
		}
		swept += n
	}
	return swept, nil
}
