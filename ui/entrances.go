package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"gatehouse/store"
)

// The ways in that need nobody inside: a new tenant's set-up link makes its first
// owner, and breaking the glass makes one for an hour.

func (s *Server) entrancesRoutes() []route {
	return []route{
		{"GET", "/setup", anybody, s.firstOwner},
		{"POST", "/setup", anybody, s.becomeOwner},
		{"GET", "/break-glass", anybody, s.breakGlass},
		{"POST", "/break-glass", anybody, s.breakTheGlass},
	}
}

// entrancePage asks whoever has a code to use it.
type entrancePage struct {
	page
	Setup bool
	// Ask says that the code is still to be given.
	Ask                      bool
	Code, FullName, Email    field
	Secret, Problem, Command string
}

func (s *Server) entrancePage(v *visit, setup bool) *entrancePage {
	p := &entrancePage{page: v.page("entrances.setup"), Setup: setup, Command: "gatehouse serve",
		Code: field{Name: "code", Label: v.words.t("entrances.code")}}
	if !setup {
		p.page, p.Command = v.page("entrances.breakGlass"), "gatehouse break-glass"
	}
	p.FullName = field{Name: "name", Label: v.words.t("entrances.name")}
	p.Email = field{Name: "email", Type: "email", Label: v.words.t("entrances.email"), Hint: v.words.t("entrances.emailHint")}
	return p
}

func (s *Server) firstOwner(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.entrance(w, r, v, s.entrancePage(v, true), store.EntranceSetup)
}

func (s *Server) breakGlass(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.entrance(w, r, v, s.entrancePage(v, false), store.EntranceBreakGlass)
}

// entrance shows what a code is for, which doesn't use it up.
func (s *Server) entrance(w http.ResponseWriter, r *http.Request, v *visit, p *entrancePage, kind string) error {
	p.Secret = strings.TrimSpace(r.URL.Query().Get("code"))
	if p.Secret == "" {
		p.Ask = true
		return s.render(w, http.StatusOK, "entrance", p)
	}
	if _, err := s.opens(r, kind, p.Secret); err != nil {
		return s.wrongEntrance(w, v, p, err)
	}
	return s.render(w, http.StatusOK, "entrance", p)
}

// opens gives the entrance that a secret opens.
func (s *Server) opens(r *http.Request, kind, secret string) (store.Entrance, error) {
	e, err := s.store.EntranceBySecret(r.Context(), secret)
	if err == nil && e.Kind != kind {
		err = store.ErrNotFound
	}
	return e, err
}

// wrongEntrance says that a code opens nothing, and how to come by another.
func (s *Server) wrongEntrance(w http.ResponseWriter, v *visit, p *entrancePage, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	p.Ask, p.Secret, p.Problem = true, "", v.words.t("entrances.wrong", "command", p.Command)
	if p.Setup {
		p.Problem = v.words.t("entrances.wrongSetup", "command", p.Command)
	}
	return s.render(w, http.StatusNotFound, "entrance", p)
}

// becomeOwner makes the first owner.
func (s *Server) becomeOwner(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, p := r.Context(), s.entrancePage(v, true)
	p.Secret, p.FullName.Value, p.Email.Value = strings.TrimSpace(r.PostFormValue("code")), strings.TrimSpace(r.PostFormValue("name")), strings.TrimSpace(r.PostFormValue("email"))
	e, err := s.opens(r, store.EntranceSetup, p.Secret)
	if err != nil {
		return s.wrongEntrance(w, v, p, err)
	}
	if p.FullName.Value == "" {
		p.FullName.Error = v.words.t("entrances.noName")
		return s.render(w, http.StatusBadRequest, "entrance", p)
	}
	session := store.Session{Method: store.MethodSetup}
	err = s.admitTo(w, r, s.byEntrance(v, e), &session, func(tx *store.Tx) error {
		e, err := tx.TakeSetup(ctx, p.Secret, p.FullName.Value, p.Email.Value, clientAddress(r))
		session.UserID = e.UserID
		return err
	})
	switch {
	case errors.Is(err, store.ErrInUse):
		return telling{http.StatusConflict, "entrances.owned"}
	case errors.Is(err, store.ErrNotFound):
		return s.wrongEntrance(w, v, p, err)
	case errors.Is(err, store.ErrInvalid), errors.Is(err, store.ErrTooLong), errors.Is(err, store.ErrTaken):
		p.FullName.Error = v.words.t("entrances.badName")
		return s.render(w, http.StatusBadRequest, "entrance", p)
	case err != nil:
		return err
	}
	s.log.Info("a tenant has its first owner", slog.String("tenant", string(e.TenantID)), slog.String("address", clientAddress(r)), slog.String("request", v.id))
	return s.redirect(w, r, "/me/passkeys?welcome=1")
}

func (s *Server) byEntrance(v *visit, e store.Entrance) store.Actor {
	return store.Actor{Tenant: e.TenantID, Kind: store.ActorInvitation, ID: e.ID, RequestID: v.id}
}

// breakTheGlass makes an owner for an hour. Nobody can do that unseen: it is in the
// audit trail, the log, the metrics, and on the overview of all who see one.
func (s *Server) breakTheGlass(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, p := r.Context(), s.entrancePage(v, false)
	p.Secret = strings.TrimSpace(r.PostFormValue("code"))
	e, err := s.opens(r, store.EntranceBreakGlass, p.Secret)
	if err != nil {
		return s.wrongEntrance(w, v, p, err)
	}
	session := store.Session{Method: store.MethodBreakGlass, ExpiresAt: store.At(v.now.Add(store.BreakGlassOwner))}
	err = s.admitTo(w, r, s.byEntrance(v, e), &session, func(tx *store.Tx) error {
		e, err := tx.TakeBreakGlass(ctx, p.Secret, clientAddress(r))
		session.UserID = e.UserID
		return err
	})
	if err != nil {
		return s.wrongEntrance(w, v, p, err)
	}
	s.glass.Add(1)
	s.log.Warn("the glass was broken: somebody owns a tenant for an hour", slog.String("tenant", string(e.TenantID)), slog.String("made_by", e.CreatedBy),
		slog.String("address", clientAddress(r)), slog.String("user", string(session.UserID)), slog.String("request", v.id))
	return s.say(w, r, "/", "", "entrances.broken")
}

// BreakGlasses is how often the glass was broken through this process, for an alarm.
func (s *Server) BreakGlasses() uint64 { return s.glass.Load() }

// alarmFor is how long the overview says that the glass was broken.
const alarmFor = 7 * 24 * time.Hour

// brokenGlass says when the glass was broken, and from where.
type brokenGlass struct {
	At            when
	Address, Made string
}

// brokenGlasses are those of the last days, for whoever sees the audit trail.
func (s *Server) brokenGlasses(ctx context.Context, v *visit) ([]brokenGlass, error) {
	all, err := s.store.BreakGlasses(ctx, v.tenant(), 100)
	var recent []brokenGlass
	for _, e := range all {
		if !e.UsedAt.IsZero() && v.now.Sub(e.UsedAt.Time) < alarmFor {
			recent = append(recent, brokenGlass{At: v.instant(e.UsedAt), Address: e.UsedFrom, Made: e.CreatedBy})
		}
	}
	return recent, err
}
