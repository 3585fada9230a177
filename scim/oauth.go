package scim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/internal/web"
	"gatehouse/store"
)

// The token endpoint: a provider's client proves itself by a secret (RFC 6749
// §2.3.1) or by an assertion that its issuer signed (RFC 7523 §2.2), and gets an
// access token for its connection (RFC 6749 §4.4).

// DefaultAccessTokenLife is how long an access token works when no setting says
// otherwise.
const DefaultAccessTokenLife = store.MinAccessTokenLife

// onlyScope is what every access token is for. The answer says so whatever scope was
// asked for: RFC 6749 §3.3 demands it when that is another one, and refusing what we
// don't know would stop a provider whose form has something in that field.
const onlyScope = "scim"

// maxTokenRequest bounds the body of a token request in bytes.
const maxTokenRequest = 16 << 10

// VerifyAssertion checks a client assertion against what is pinned, and gives
// its id, "" when it has none. The error is ErrIssuerUnavailable when nothing
// could be found out; any other is a refusal, with the cause for the log.
type VerifyAssertion func(ctx context.Context, pinned store.Federation, assertion string) (id string, err error)

// ErrIssuerUnavailable says that an issuer's keys can't be had just now.
var ErrIssuerUnavailable = errors.New("issuer unavailable")

// oauthRoutes are those outside /scim/, which no connection owns.
func (s *Server) oauthRoutes() []web.Route {
	const path = "/oauth2/token"
	return []web.Route{
		{Method: "POST", Pattern: path, Access: web.ClientCredentials, Handler: http.HandlerFunc(s.token)},
		{Pattern: path, Access: web.ClientCredentials, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", "POST")
			refuse(w, r, oauthError{http.StatusMethodNotAllowed, "invalid_request", "Send a POST with a form body."})
		})},
	}
}

// oauthError is an error of the token endpoint (RFC 6749 §5.2). Its description
// is for the provider's administrator, in ASCII and without quotes.
type oauthError struct {
	status      int
	code        string
	description string
}

func (e oauthError) Error() string { return e.code + ": " + e.description }

func invalidRequest(format string, args ...any) error {
	return oauthError{http.StatusBadRequest, "invalid_request", fmt.Sprintf(format, args...)}
}

// invalidClient is the same whatever is wrong with the client, its secret or its
// assertion, so that nothing can be learnt from it; the log has the cause.
type invalidClient struct{ cause error }

func (e invalidClient) Error() string { return "invalid_client: " + e.cause.Error() }

// token answers a token request.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	x := s.recorder.begin(w, r)
	defer x.end(r)
	w = x.writer(w)
	answer, err := s.issue(w, r, x)
	x.asClient(err)
	if err != nil {
		refuse(w, r, err)
	} else {
		writeOAuth(w, http.StatusOK, answer)
	}
	x.complete()
}

func (s *Server) issue(w http.ResponseWriter, r *http.Request, x *exchange) (document, error) {
	form, err := readForm(w, r)
	if err != nil {
		return nil, err
	}
	proof, err := proofIn(r, form)
	x.claims(proof.id)
	if err != nil {
		return nil, err
	}
	switch grant := form["grant_type"]; grant {
	case "":
		return nil, invalidRequest("grant_type is missing: send client_credentials.")
	case "client_credentials":
	default:
		return nil, oauthError{http.StatusBadRequest, "unsupported_grant_type", "The only grant_type is client_credentials."}
	}
	credential, assertion, err := s.authenticateClient(r.Context(), proof)
	if err != nil {
		return nil, err
	}
	web.Annotate(r.Context(), slog.String("connection", string(credential.ConnectionID)), slog.String("client", string(credential.ClientID)))
	x.provedBy(credential)
	if wait, ok := s.limits.Allow(credential.ConnectionID, s.opts.Rate); !ok {
		return nil, tooMany{wait}
	}
	token, secret, err := s.createAccessToken(r.Context(), credential, assertion)
	if err != nil {
		return nil, err
	}
	return document{
		"access_token": secret, "token_type": "Bearer", "expires_in": int(token.ExpiresAt.Sub(token.CreatedAt.Time) / time.Second),
		"scope": onlyScope,
	}, nil
}

func (s *Server) createAccessToken(ctx context.Context, c store.Credential, assertion string) (token store.Token, secret string, err error) {
	actor := store.Actor{Tenant: c.TenantID, Kind: store.ActorSCIM, ID: string(c.ID), RequestID: web.RequestID(ctx)}
	err = s.store.Write(ctx, actor, func(tx *store.Tx) error {
		token, secret, err = tx.CreateAccessToken(ctx, c, s.opts.AccessTokenLife, assertion)
		return err
	})
	switch {
	case errors.Is(err, store.ErrTaken):
		err = invalidClient{errors.New("the assertion was used before")}
	case errors.Is(err, store.ErrNotFound):
		err = invalidClient{err}
	}
	return token, secret, err
}

// readForm reads the parameters of a token request. Each may be there once, and
// one without a value counts as not there (RFC 6749 §3.2).
func readForm(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("Send parameters in the body: what stands in an address ends up in logs.")
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || media != "application/x-www-form-urlencoded" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, invalidRequest("The Content-Type must be application/x-www-form-urlencoded.")
	}
	if len(r.Header.Values("Content-Type")) > 1 || r.Header.Get("Content-Encoding") != "" {
		return nil, invalidRequest("Send the form as it is, with one Content-Type and no Content-Encoding.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTokenRequest))
	if err != nil {
		return nil, invalidRequest("The body can't be read, or is larger than %d bytes.", maxTokenRequest)
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("The body is not a form.")
	}
	form := map[string]string{}
	for name, given := range values {
		if len(given) > 1 {
			return nil, invalidRequest("A parameter is there twice.")
		}
		if !utf8.ValidString(given[0]) || strings.ContainsRune(given[0], 0) {
			return nil, invalidRequest("A parameter is not text.")
		}
		form[name] = given[0]
	}
	return form, nil
}

// assertionType is the one kind of client assertion (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// proof is what a client says to be, and why: a secret or an assertion.
type proof struct{ id, secret, assertion string }

// proofIn finds the one proof of a request. Two would leave open which counts
// (RFC 6749 §2.3).
func proofIn(r *http.Request, form map[string]string) (proof, error) {
	p := proof{form["client_id"], form["client_secret"], form["client_assertion"]}
	headers := r.Header.Values("Authorization")
	ways := min(len(headers), 1)
	for _, given := range []string{p.secret, p.assertion} {
		if given != "" {
			ways++
		}
	}
	switch {
	case len(headers) > 1 || ways > 1:
		return p, invalidRequest("Send one proof of the client: an Authorization header, client_secret or client_assertion.")
	case p.assertion == "" && form["client_assertion_type"] != "":
		return p, invalidRequest("client_assertion is missing.")
	case p.assertion != "" && form["client_assertion_type"] == "":
		return p, invalidRequest("client_assertion_type is missing: send %s.", assertionType)
	case ways == 0:
		return p, invalidClient{errors.New("no proof of the client")}
	case p.assertion != "" && form["client_assertion_type"] != assertionType:
		return p, invalidClient{errors.New("an unknown client_assertion_type")}
	case len(headers) == 1:
		return basicProof(r, p.id)
	case p.id == "":
		return p, invalidRequest("client_id is missing.")
	}
	return p, nil
}

// basicProof reads the Authorization header. Both parts are form-encoded inside
// of it (RFC 6749 §2.3.1). The id may stand in the body, too.
func basicProof(r *http.Request, inBody string) (proof, error) {
	id, secret, ok := r.BasicAuth()
	id, err := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	switch {
	case !ok || err != nil || err2 != nil || id == "" || secret == "" || !utf8.ValidString(id+secret):
		return proof{}, invalidClient{errors.New("the Authorization header holds no client id and secret")}
	case inBody != "" && inBody != id:
		return proof{}, invalidRequest("client_id is not the one in the Authorization header.")
	}
	return proof{id: id, secret: secret}, nil
}

// authenticateClient gives the credential that was proved, and the id of the
// assertion if it was one.
func (s *Server) authenticateClient(ctx context.Context, p proof) (c store.Credential, assertion string, err error) {
	if p.assertion == "" {
		c, err = s.store.AuthenticateClient(ctx, p.id, p.secret)
	} else {
		c, assertion, err = s.authenticateFederated(ctx, p)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = invalidClient{err}
	}
	return c, assertion, err
}

func (s *Server) authenticateFederated(ctx context.Context, p proof) (store.Credential, string, error) {
	c, err := s.store.FederationOf(ctx, p.id)
	if errors.Is(err, store.ErrNotFound) {
		// Nothing is pinned for it, and finding that out takes as long as it does
		// for a client that exists.
		_, _ = s.verify(ctx, store.Federation{}, p.assertion)
	}
	if err != nil {
		return c, "", err
	}
	id, err := s.verify(ctx, c.Federation, p.assertion)
	return c, id, err
}

func (s *Server) verify(ctx context.Context, pinned store.Federation, assertion string) (string, error) {
	if s.opts.VerifyAssertion == nil {
		return "", invalidClient{errors.New("assertions are not verified here")}
	}
	id, err := s.opts.VerifyAssertion(ctx, pinned, assertion)
	if err != nil && !errors.Is(err, ErrIssuerUnavailable) {
		err = invalidClient{err}
	}
	return id, err
}

// refuse renders an error of the token endpoint (RFC 6749 §5.2).
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var e oauthError
	var client invalidClient
	var busy tooMany
	switch {
	case errors.As(err, &e):
	case errors.As(err, &client):
		e = oauthError{http.StatusUnauthorized, "invalid_client", "The client id, or the secret or assertion that proves it, is missing, wrong, expired or revoked: compare them with what 'gatehouse client show' prints. Gatehouse's log has the cause under request " + web.RequestID(r.Context()) + "."}
		if r.Header.Get("Authorization") != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="gatehouse"`)
		}
	case errors.As(err, &busy):
		e = oauthError{http.StatusTooManyRequests, "slow_down", "More requests a second than the server allows: slow down."}
		w.Header().Set("Retry-After", fmt.Sprint(web.RetryAfter(busy.wait)))
	case errors.Is(err, ErrIssuerUnavailable):
		e = oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", "The keys of the issuer can't be fetched just now: try again. Gatehouse's log has the cause under request " + web.RequestID(r.Context()) + "."}
		w.Header().Set("Retry-After", "5")
	case errors.Is(err, store.ErrUnavailable):
		e = oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", "The database can't be reached just now: try again."}
		w.Header().Set("Retry-After", "5")
	default:
		e = oauthError{http.StatusInternalServerError, "server_error", "Something went wrong in Gatehouse. Its log has the cause under request " + web.RequestID(r.Context()) + "."}
	}
	web.Annotate(r.Context(), slog.String("error", err.Error()))
	writeOAuth(w, e.status, document{"error": e.code, "error_description": e.description})
}

func writeOAuth(w http.ResponseWriter, status int, body document) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749 §5.1 wants both
	w.WriteHeader(status)
	w.Write(jsonOf(body)) // a client that is gone needs no answer
}

// sweepBatch bounds the access tokens that one transaction deletes.
const sweepBatch = 500

// sweep deletes access tokens that ended a while ago, at most a few batches.
func (s *Server) sweep(ctx context.Context) {
	for range 20 {
		var n int
		err := s.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) error {
			var err error
			n, err = tx.SweepAccessTokens(ctx, sweepBatch)
			return err
		})
		if err != nil {
			s.opts.Log.Warn("old access tokens not deleted", "error", err)
			return
		}
		if n < sweepBatch {
			return
		}
	}
}
