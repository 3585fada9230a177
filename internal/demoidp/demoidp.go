// Package demoidp is the identity provider of the demo: a real one, zitadel's, whose
// sign-in page lists the people of the sample company, so that a newcomer can be any
// of them with one click. Nobody proves anything there: it listens on this machine
// only, and nothing but the demo starts it.
//
//	idp, err := demoidp.New("http://127.0.0.1:9999")
//	idp.SetClient(demoidp.Client{ID: "entra", Secret: secret, Name: "Entra", Hosts: …, People: …})
//	http.Serve(l, idp)
package demoidp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	_ "embed"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Person is somebody whom a visitor can be.
type Person struct {
	// UserName says who it is: it is the subject and preferred_username.
	UserName string
	Name     string
	// Role is what she is in Gatehouse, for people; "" for those who are listed last.
	Role string
}

// Client is a connection of Gatehouse.
type Client struct {
	ID, Secret string
	// Name is what the page calls the company.
	Name string
	// Hosts are the addresses of Gatehouse, such as http://127.0.0.1:8080.
	Hosts []string
	// People are those of the company, in the order of the page.
	People []Person
}

// Provider is the demo's identity provider.
type Provider struct {
	handler  http.Handler
	callback func(context.Context, string) string
	key      *rsa.PrivateKey

	mu      sync.Mutex
	clients map[string]Client
	// requests are those who are at the page, by id, and codes lead to them.
	requests map[string]*request
	codes    map[string]string
}

// maxRequests bounds who can be at the page at a time.
const maxRequests = 1000

// New makes a provider without clients. issuer is its own address.
func New(issuer string) (*Provider, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	p := &Provider{key: key, clients: map[string]Client{}, requests: map[string]*request{}, codes: map[string]string{}}
	config := &op.Config{CodeMethodS256: true, DefaultLogoutRedirectURI: "/out"}
	rand.Read(config.CryptoKey[:])
	provider, err := op.NewProvider(config, p, op.StaticIssuer(issuer), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	p.callback = op.AuthCallbackURL(provider)
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	choose := op.NewIssuerInterceptor(provider.IssuerFromRequest)
	mux.Handle("GET /choose", choose.HandlerFunc(p.page))
	mux.Handle("POST /choose", choose.HandlerFunc(p.chosen))
	mux.HandleFunc("GET /out", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "You are signed out of the demo.\n") })
	p.handler = mux
	return p, nil
}

// ServeHTTP answers browsers and Gatehouse.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// SetClient makes a client known, or changes it.
func (p *Provider) SetClient(c Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[c.ID] = c
}

//go:embed choose.html
var chooseText string

var chooseTemplate = template.Must(template.New("choose").Parse(chooseText))

// page lists the people. Whoever was named already, by a link that says who to be, is
// not asked again.
func (p *Provider) page(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	waiting, client, ok := p.request(id)
	if !ok {
		http.Error(w, "This sign-in is over. Go back to Gatehouse and start again.", http.StatusBadRequest)
		return
	}
	if p.sign(id, waiting.LoginHint) {
		http.Redirect(w, r, p.callback(r.Context(), id), http.StatusSeeOther)
		return
	}
	var named, others []Person
	for _, person := range client.People {
		if person.Role != "" {
			named = append(named, person)
			continue
		}
		others = append(others, person)
	}
	var b bytes.Buffer
	if err := chooseTemplate.Execute(&b, map[string]any{"ID": id, "Name": client.Name, "Named": named, "Others": others}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Write(b.Bytes())
}

// chosen signs in whom the visitor chose.
func (p *Provider) chosen(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("id")
	if !p.sign(id, r.PostFormValue("person")) {
		http.Error(w, "There is nobody of that name, or this sign-in is over. Go back to Gatehouse and start again.", http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, p.callback(r.Context(), id), http.StatusSeeOther)
}

// request gives a copy of one that waits, and its client.
func (p *Provider) request(id string) (request, Client, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.requests[id]
	if waiting == nil {
		return request{}, Client{}, false
	}
	return *waiting, p.clients[waiting.ClientID], true
}

// sign says who it is that waits, and reports whether there is such a person.
func (p *Provider) sign(id, userName string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.requests[id]
	if waiting == nil || !slices.ContainsFunc(p.clients[waiting.ClientID].People, func(one Person) bool { return one.UserName == userName }) {
		return false
	}
	waiting.userName, waiting.at = userName, time.Now()
	return true
}

// request is an authorization request, as package op wants it.
type request struct {
	*zoidc.AuthRequest
	id       string
	userName string
	at       time.Time
}

func (r *request) GetID() string          { return r.id }
func (r *request) GetACR() string         { return "" }
func (r *request) GetAMR() []string       { return nil }
func (r *request) GetAudience() []string  { return []string{r.ClientID} }
func (r *request) GetAuthTime() time.Time { return r.at }
func (r *request) GetClientID() string    { return r.ClientID }
func (r *request) GetSubject() string     { return r.userName }
func (r *request) GetNonce() string       { return r.Nonce }
func (r *request) GetScopes() []string    { return r.Scopes }
func (r *request) Done() bool             { return r.userName != "" }
func (r *request) GetResponseMode() zoidc.ResponseMode {
	return r.ResponseMode
}
func (r *request) GetCodeChallenge() *zoidc.CodeChallenge {
	return &zoidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

// CreateAuthRequest keeps a request until its answer is fetched.
func (p *Provider) CreateAuthRequest(_ context.Context, asked *zoidc.AuthRequest, _ string) (op.AuthRequest, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) >= maxRequests {
		clear(p.requests)
		clear(p.codes)
	}
	r := &request{AuthRequest: asked, id: rand.Text()}
	p.requests[r.id] = r
	return r, nil
}

// AuthRequestByID gives a request.
func (p *Provider) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	r, _, ok := p.request(id)
	if !ok {
		return nil, errors.New("no such request")
	}
	return &r, nil
}

// AuthRequestByCode gives the request whose answer a code is.
func (p *Provider) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	p.mu.Lock()
	id := p.codes[code]
	p.mu.Unlock()
	return p.AuthRequestByID(ctx, id)
}

// SaveAuthCode keeps the code of a request.
func (p *Provider) SaveAuthCode(_ context.Context, id, code string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = id
	return nil
}

// DeleteAuthRequest forgets a request: its code works once.
func (p *Provider) DeleteAuthRequest(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.requests, id)
	for code, of := range p.codes {
		if of == id {
			delete(p.codes, code)
		}
	}
	return nil
}

// GetClientByClientID gives a client.
func (p *Provider) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, known := p.clients[id]
	if !known {
		return nil, errors.New("no such client")
	}
	return opClient{c}, nil
}

// AuthorizeClientIDSecret checks the secret of a client.
func (p *Provider) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, known := p.clients[id]; !known || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) == 0 {
		return errors.New("no such client, or another secret")
	}
	return nil
}

// SetUserinfoFromRequest says who signed in.
func (p *Provider) SetUserinfoFromRequest(_ context.Context, info *zoidc.UserInfo, r op.IDTokenRequest, _ []string) error {
	info.Subject, info.PreferredUsername = r.GetSubject(), r.GetSubject()
	return nil
}

// CreateAccessToken makes a token that opens nothing: everything is in the ID token.
func (p *Provider) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return rand.Text(), time.Now().Add(time.Minute), nil
}

type signingKey struct{ key *rsa.PrivateKey }

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Algorithm() jose.SignatureAlgorithm          { return jose.RS256 }
func (k signingKey) ID() string                                  { return "demo" }
func (k signingKey) Use() string                                 { return "sig" }
func (k signingKey) Key() any                                    { return k.key }

type publicKey struct{ signingKey }

func (k publicKey) Key() any { return k.key.Public() }

// SigningKey gives the one that signs.
func (p *Provider) SigningKey(context.Context) (op.SigningKey, error) { return signingKey{p.key}, nil }

// SignatureAlgorithms are those of the key.
func (p *Provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

// KeySet is the published key.
func (p *Provider) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{signingKey{p.key}}}, nil
}

// opClient is a client as package op wants it.
type opClient struct{ Client }

func (c opClient) GetID() string                       { return c.ID }
func (c opClient) RedirectURIs() []string              { return c.at("/oidc/callback") }
func (c opClient) PostLogoutRedirectURIs() []string    { return c.at("/logout") }
func (c opClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c opClient) AuthMethod() zoidc.AuthMethod        { return zoidc.AuthMethodBasic }
func (c opClient) ResponseTypes() []zoidc.ResponseType {
	return []zoidc.ResponseType{zoidc.ResponseTypeCode}
}
func (c opClient) GrantTypes() []zoidc.GrantType        { return []zoidc.GrantType{zoidc.GrantTypeCode} }
func (c opClient) LoginURL(id string) string            { return "/choose?id=" + id }
func (c opClient) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c opClient) IDTokenLifetime() time.Duration       { return 5 * time.Minute }
func (c opClient) DevMode() bool                        { return true } // http, on this machine
func (c opClient) IsScopeAllowed(string) bool           { return false }
func (c opClient) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c opClient) ClockSkew() time.Duration             { return 0 }
func (c opClient) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c opClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c opClient) at(path string) []string {
	var all []string
	for _, host := range c.Hosts {
		all = append(all, host+path)
	}
	return all
}
