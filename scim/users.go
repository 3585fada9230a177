package scim

import (
	"errors"
	"log/slog"
	"net/http"

	"gatehouse/internal/web"
	"gatehouse/store"

	scimerr "github.com/elimity-com/scim/errors"
)

// asUser is the row of a document; a new user is active unless it says otherwise.
func asUser(doc document) store.User {
	if _, said := doc["active"]; !said {
		doc["active"] = true
	}
	u := store.User{
		UserName:    text(doc, "userName"),
		ExternalID:  text(doc, "externalId"),
		DisplayName: text(doc, "displayName"),
		Active:      doc["active"] == true,
		Doc:         userType.encode(doc),
		Search:      jsonOf(userType.searchable(doc)),
	}
	emails, _ := doc["emails"].([]any)
	for _, e := range emails {
		if e, ok := e.(document); ok && text(e, "value") != "" {
			u.Emails = append(u.Emails, text(e, "value"))
		}
	}
	return u
}

func text(doc document, name string) string {
	s, _ := doc[name].(string)
	return s
}

// userTaken says which userName is in use; other errors pass.
func userTaken(err error, userName string) error {
	if errors.Is(err, store.ErrTaken) {
		return uniqueness("A user with userName %s already exists in this connection: match it, or choose another userName.", shorten(userName))
	}
	return err
}

// lastOwner is the 409 for taking away the last person who owns the tenant's
// console.
func lastOwner(err error) error {
	if errors.Is(err, store.ErrLastOwner) {
		return scimerr.ScimError{
			Detail: "This user is the last owner of Gatehouse, so that deactivating or deleting it would lock everybody out. Make somebody else an owner in Gatehouse, then send this again.",
			Status: http.StatusConflict,
		}
	}
	return err
}

func userMissing(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("User", id)
	}
	return err
}

func (s *Server) getUser(w http.ResponseWriter, r *http.Request, c caller) error {
	p, _, err := userType.projectionOf(r)
	if err != nil {
		return err
	}
	conds, err := conditionsOf(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	u, err := s.store.ShownUser(r.Context(), c.conn, store.UserID(id))
	if err != nil {
		return userMissing(err, id)
	}
	res := userResource(u)
	unchanged, err := conds.read(res.version)
	if err != nil {
		return err
	}
	if unchanged {
		return sendUnchanged(w, c.base, res)
	}
	return sendUser(w, c, res, p, http.StatusOK)
}

func (s *Server) createUser(w http.ResponseWriter, r *http.Request, c caller) error {
	p, _, err := userType.projectionOf(r)
	if err != nil {
		return err
	}
	body, err := s.readBody(w, r, c, maxUserBody)
	if err != nil {
		return err
	}
	doc, _, ignored, err := userType.normalize(body)
	if err != nil {
		return err
	}
	noteIgnored(r.Context(), ignored)

	u := asUser(doc)
	err = s.store.Write(r.Context(), c.actor(r.Context()), func(tx *store.Tx) error {
		var err error
		u, err = tx.CreateUser(r.Context(), c.conn, u)
		return err
	})
	if err != nil {
		return userTaken(err, u.UserName)
	}
	u.Groups = []byte("[]")
	res := userResource(u)
	w.Header().Set("Location", res.location(c.base))
	return sendUser(w, c, res, p, http.StatusCreated)
}

// replaceUser is PUT (RFC 7644 §3.5.1). externalId, as which somebody is known,
// stays when the body doesn't mention it, since Okta leaves it out.
func (s *Server) replaceUser(w http.ResponseWriter, r *http.Request, c caller) error {
	body, err := s.readBody(w, r, c, maxUserBody)
	if err != nil {
		return err
	}
	doc, _, ignored, err := userType.normalize(body)
	if err != nil {
		return err
	}
	noteIgnored(r.Context(), ignored)
	return s.changeUser(w, r, c, func(before document) (document, error) {
		after := clone(doc).(document)
		if _, said := after["externalId"]; !said && before["externalId"] != nil {
			after["externalId"] = before["externalId"]
		}
		return after, nil
	})
}

func (s *Server) patchUser(w http.ResponseWriter, r *http.Request, c caller) error {
	body, err := s.readBody(w, r, c, maxUserBody)
	if err != nil {
		return err
	}
	ops, err := parsePatch(body)
	if err != nil {
		return err
	}
	return s.changeUser(w, r, c, func(before document) (document, error) {
		after, _, ignored, err := userType.patch(before, ops)
		noteIgnored(r.Context(), ignored)
		return after, err
	})
}

// changeUser applies a pure change to a user's document and answers with the
// user as it then is. A change that takes active away, or says nothing of it,
// leaves it as it is.
func (s *Server) changeUser(w http.ResponseWriter, r *http.Request, c caller, change func(document) (document, error)) error {
	p, _, err := userType.projectionOf(r)
	if err != nil {
		return err
	}
	conds, err := conditionsOf(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	var after store.User
	err = s.store.Write(r.Context(), c.actor(r.Context()), func(tx *store.Tx) error {
		u, err := tx.UpdateUser(r.Context(), c.conn, store.UserID(id), func(u store.User) (store.User, error) {
			if err := conds.write(u.Version); err != nil {
				return u, err
			}
			doc, err := decodeStored(u.Doc)
			if err != nil {
				return u, err
			}
			if doc, err = change(doc); err != nil {
				return u, err
			}
			if _, said := doc["active"]; !said {
				// Whoever has left stays out until the provider says otherwise.
				doc["active"] = u.Active
			}
			after = asUser(doc)
			after.Version = u.Version
			return after, nil
		})
		if err != nil {
			return err
		}
		after = u
		return nil
	})
	if err != nil {
		return lastOwner(userTaken(userMissing(err, id), after.UserName))
	}
	return sendUser(w, c, userResource(after), p, http.StatusOK)
}

func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request, c caller) error {
	conds, err := conditionsOf(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	err = s.store.Write(r.Context(), c.actor(r.Context()), func(tx *store.Tx) error {
		return tx.DeleteUserIf(r.Context(), c.conn, store.UserID(id), func(u store.User) error { return conds.write(u.Version) })
	})
	if err != nil {
		return lastOwner(userMissing(err, id))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func sendUser(w http.ResponseWriter, c caller, user resource, p *projection, status int) error {
	body, err := user.whole(c.base, p)
	if err != nil {
		return err
	}
	user.label(w.Header(), c.base)
	writeJSON(w, status, body)
	return nil
}

// noteUnknown puts member ids that name nobody into the request's log line.
func noteUnknown(r *http.Request, res store.MembersResult) {
	if len(res.Unknown) > 0 {
		web.Annotate(r.Context(), slog.Int(noteUnknownKey, len(res.Unknown)), slog.Any("unknown", res.Unknown[:min(len(res.Unknown), 10)]))
	}
}
