package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"gatehouse/access"
	"gatehouse/internal/web"
	"gatehouse/store"
)

// The errors of handlers that are no error of the store.
var (
	// errCrossSite says that another site made the browser send the request.
	errCrossSite = errors.New("the request comes from another site")
	// errStale says that what somebody decided on has changed since.
	errStale = errors.New("the page is out of date")
)

// forbidden says that the visitor lacks a right.
type forbidden struct{ needs needs }

func (f forbidden) Error() string { return "the visitor has no " + f.needs.String() }

// badRequest says what is wrong with an address or a form, by the key of a text.
type badRequest struct{ text string }

func (b badRequest) Error() string { return "bad request: " + b.text }

// telling says what went wrong by the key of a text, where the error alone says too
// little.
type telling struct {
	status int
	text   string
}

func (t telling) Error() string { return t.text }

// problemPage says what went wrong, whose problem it is and what to do.
type problemPage struct {
	page
	Text string
	// Owners can help; none if it isn't theirs.
	Owners []string
}

// fail makes a page of an error: the one place where they meet. It needs no
// database.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	web.Annotate(r.Context(), slog.String("error", err.Error()))
	var bad badRequest
	var lacks forbidden
	var tells telling
	var large *http.MaxBytesError
	status, key := http.StatusInternalServerError, "problem.internal"
	var owners []string
	switch {
	case errors.As(err, &bad):
		status, key = http.StatusBadRequest, bad.text
	case errors.As(err, &tells):
		status, key = tells.status, tells.text
	case errors.As(err, &large):
		status, key = http.StatusRequestEntityTooLarge, "problem.large"
	case errors.As(err, &lacks):
		s.noteRefusal(r, v, lacks)
		status, key, owners = http.StatusForbidden, "problem.forbidden", v.owners(r.Context())
	case errors.Is(err, errCrossSite):
		status, key = http.StatusForbidden, "problem.crosssite"
	case errors.Is(err, store.ErrUnavailable):
		status, key = http.StatusServiceUnavailable, "problem.unavailable"
		w.Header().Set("Retry-After", "10")
	case errors.Is(err, store.ErrNotFound):
		status, key = http.StatusNotFound, "problem.missing"
	case errors.Is(err, errStale), errors.Is(err, store.ErrTaken), errors.Is(err, store.ErrInUse):
		status, key = http.StatusConflict, "problem.stale"
	case errors.Is(err, access.ErrLastOwner):
		status, key = http.StatusConflict, "problem.lastowner"
	case errors.Is(err, store.ErrInvalid), errors.Is(err, store.ErrTooLong), errors.Is(err, store.ErrLimit), errors.Is(err, store.ErrAmbiguous):
		status, key = http.StatusBadRequest, "problem.invalid"
	}
	p := &problemPage{page: v.page(key), Text: v.words.t(key + ".text"), Owners: owners}
	if err := s.render(w, status, "problem", p); err != nil {
		s.log.Error("page of a problem", "error", err)
		http.Error(w, "internal error, request "+v.id, http.StatusInternalServerError)
	}
}

// noteRefusal tells the log of somebody who asked for what she may not do. The
// answer is the same if that fails, or if she doesn't wait for it.
func (s *Server) noteRefusal(r *http.Request, v *visit, lacks forbidden) {
	err := s.store.Refused(context.WithoutCancel(r.Context()), v.actor(), store.Refusal{
		Action: store.AccessRefused, UserID: v.session.UserID, Name: v.person.UserName,
		Why: lacks.needs.String(), Detail: r.Method + " " + r.URL.Path, Address: clientAddress(r),
	})
	if err != nil {
		s.log.Warn("log a refusal", "error", err, "request", v.id)
	}
}
