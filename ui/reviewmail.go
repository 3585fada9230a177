package ui

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	outbox "gatehouse/internal/mail"
	"gatehouse/store"
)

// Reviewers are told by mail of a review that somebody else gives them, and once more
// some days before it is due. Without a mail server the overview says it.

// remindEvery is how often reviews are looked for whose reviewers are to be reminded,
// and remindAtOnce of how many in one transaction.
const (
	remindEvery  = time.Minute
	remindAtOnce = 50
)

// tellReviewer queues the mail of a review that was opened for somebody else.
func (s *Server) tellReviewer(r *http.Request, tx *store.Tx, v *visit, one store.Review) error {
	if s.mail == nil || one.Reviewer == v.session.UserID {
		return nil
	}
	return s.queueReview(r.Context(), tx, one, v.words, "opened", s.base(r), "by", name(v.person))
}

// remind queues a mail about each review that is due soon. Of several replicas, one does.
func (s *Server) remind(ctx context.Context) {
	if s.mail == nil {
		return
	}
	for {
		n := 0
		err := s.store.Write(ctx, store.Actor{Kind: store.ActorSystem, ID: "reviews"}, func(tx *store.Tx) error {
			due, err := tx.RemindOfReviews(ctx, remindAtOnce)
			if err != nil {
				return err
			}
			n = len(due)
			for _, one := range due {
				if err := s.queueReview(ctx, tx, one, s.words[languages[0]], "due", strings.TrimRight(s.url, "/")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("reviewers are not reminded", slog.Any("error", err))
		}
		if err != nil || n == 0 {
			return
		}
		s.mail.Wake()
	}
}

// queueReview queues a mail to the reviewer of a review, unless nobody knows an address.
func (s *Server) queueReview(ctx context.Context, tx *store.Tx, one store.Review, w *words, kind, base string, args ...any) error {
	who, err := tx.PersonRecord(ctx, one.TenantID, one.Reviewer)
	if err != nil {
		return err
	}
	to, due := mailOf(who), w.date(one.DueAt.In(s.zone))
	gone := !who.DeletedAt.IsZero() || !who.Active || !who.Said.LoginAllowed || !who.Said.ExpiresAt.IsZero() && !who.Said.ExpiresAt.After(s.store.Now())
	if to == "" || gone {
		return nil
	}
	args = append(args, "name", one.Name, "date", due)
	lines := []string{w.t("accept.hello", "name", one.ReviewerName), "", w.t("reviews.mail."+kind, args...),
		w.t("reviews.count", "people", w.n("people.count", one.People), "flagged", one.Flagged) + "."}
	if base != "" {
		lines = append(lines, "", w.t("reviews.mail.go"), "", base+"/reviews/"+string(one.ID)+"/decide")
	}
	return s.mail.QueueReview(ctx, tx, one, outbox.Message{To: to, Subject: w.t("reviews.mail.subject."+kind, args...), Text: strings.Join(lines, "\n") + "\n"})
}
