package scim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/web"
	"gatehouse/store"
)

// rig is a server with one connection, and its token.
type rig struct {
	edge    *Server
	store   *store.Store
	conn    store.ConnectionRef
	handler http.Handler
	path    string
	token   string
}

func newRig(t testing.TB) *rig {
	t.Helper()
	address := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	if _, err := store.Migrate(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), address, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	tenant, err := st.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	p := &rig{store: st}
	err = st.Write(t.Context(), store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI}, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(t.Context(), "entra", store.IdPEntra)
		if err != nil {
			return err
		}
		p.conn, p.path = c.Ref(), "/scim/"+string(c.ID)+"/v2"
		_, p.token, err = tx.CreateToken(t.Context(), c, time.Time{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.edge, err = New(t.Context(), st, Options{}); err != nil {
		t.Fatal(err)
	}
	if p.handler, err = web.Mux(p.edge.Routes()); err != nil {
		t.Fatal(err)
	}
	return p
}

// do sends a request and gives status and body.
func (p *rig) do(ctx context.Context, method, path, body string) (int, document) {
	r := httptest.NewRequestWithContext(ctx, method, p.path+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+p.token)
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	var doc document
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil && w.Body.Len() > 0 {
		panic(fmt.Sprintf("%s %s answered %s", method, path, w.Body))
	}
	return w.Code, doc
}
