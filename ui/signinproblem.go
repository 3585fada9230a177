package ui

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"

	"gatehouse/internal/web"
	"gatehouse/oidc"
	"gatehouse/store"
)

// refusal is a sign-in that comes to nothing.
type refusal struct {
	// code is the page's: a key of refusals.
	code string
	// reason is that of the protocol, where it was that which refused.
	reason string
	// provider is empty while nobody knows which one it is about.
	provider store.Provider
	user     store.UserID
	name     string // as the provider calls the person
	detail   string
	cause    error
	to       string // where the person wanted to be
}

// refusals are all pages that say why a sign-in came to nothing. Those without a
// button to start again would end in the same way.
var refusals = map[string]struct {
	status int
	again  bool
}{
	"lost":        {http.StatusBadRequest, true}, // no sign-in of this browser, or it is over
	"slow":        {http.StatusBadRequest, true}, // longer than ten minutes
	"closed":      {http.StatusNotFound, true},   // nobody may sign in with that connection
	"initiation":  {http.StatusBadRequest, true}, // a third party's link can't be read
	"cancelled":   {http.StatusForbidden, true},  // the person or the provider said no
	"down":        {http.StatusServiceUnavailable, true},
	"settings":    {http.StatusForbidden, false}, // ours or the provider's settings can't work
	"refused":     {http.StatusForbidden, true},  // the answer doesn't prove what it should
	"unknown":     {http.StatusForbidden, true},  // SCIM never told of the person
	"inactive":    {http.StatusForbidden, false}, // SCIM says inactive
	"blocked":     {http.StatusForbidden, false}, // blocked here
	"ended":       {http.StatusForbidden, false}, // the account expired
	"revoked":     {http.StatusForbidden, true},  // signed out everywhere meanwhile
	"left":        {http.StatusForbidden, false}, // SCIM took the person away
	"ambiguous":   {http.StatusForbidden, false}, // several people match
	"otherperson": {http.StatusForbidden, false}, // contradicts who it was before
	"noclaim":     {http.StatusForbidden, false}, // the claim to link by is missing
	"badname":     {http.StatusForbidden, false}, // the claim can't be a name
}

// ofSettings are the reasons that an administrator has to do something about.
var ofSettings = map[string]bool{"settings": true, "discovery": true, "client": true, "alg": true, "key": true}

// ofRequests are the errors by which a provider says that it is asked wrongly (RFC
// 6749 §4.1.2.1, OpenID Connect Core 1.0 §3.1.2.6): no person can do anything about
// those.
var ofRequests = map[string]bool{
	"invalid_request": true, "unauthorized_client": true, "unsupported_response_type": true, "invalid_scope": true,
	"invalid_request_uri": true, "invalid_request_object": true, "request_not_supported": true, "request_uri_not_supported": true,
	"registration_not_supported": true,
}

// because makes a refusal of an error of the protocol.
func because(err error, p store.Provider, to string) refusal {
	no := refusal{code: "refused", reason: cmp.Or(oidc.Reason(err), "internal"), provider: p, cause: err, to: to}
	switch {
	case no.reason == "unavailable":
		no.code = "down"
	case no.reason == "denied":
		no.code = "cancelled"
		if denial, ok := errors.AsType[*oidc.Denial](err); ok {
			no.detail = denial.Code
			if ofRequests[denial.Code] {
				no.code = "settings"
			}
		}
	case no.reason == "expired":
		no.code = "slow"
	case no.reason == "state", no.reason == "transaction":
		no.code = "lost"
	case ofSettings[no.reason]:
		no.code = "settings"
	}
	return no
}

// signinProblemPage says what happened, whose problem it is and what to do.
type signinProblemPage struct {
	page
	What, Whose, Do string
	// Reason is the protocol's code, for whoever looks for the cause.
	Reason string
	// Again begins anew; "" when that would end in the same way. Choose leads to
	// the other ways to sign in.
	Again, Choose string
}

// refuseSignIn shows the page of a refusal and logs it. Nothing that a stranger sent
// is on the page.
func (s *Server) refuseSignIn(w http.ResponseWriter, r *http.Request, v *visit, no refusal) error {
	kind := refusals[no.code]
	detail := no.detail
	if no.cause != nil {
		detail = cmp.Or(detail, no.cause.Error())
	}
	why := no.code
	if no.reason != "" && no.reason != no.code {
		why += " (" + no.reason + ")"
	}
	web.Annotate(r.Context(), slog.String("signin_refused", why), slog.String("detail", detail))
	err := s.store.Refused(r.Context(), store.Actor{Tenant: no.provider.TenantID, Kind: store.ActorSystem, ID: "sign-in", RequestID: v.id}, store.Refusal{
		Action: store.SignInRefused, Connection: no.provider.ConnectionID, UserID: no.user, Name: no.name,
		Why: cmp.Or(no.reason, no.code), Detail: detail, Address: clientAddress(r),
	})
	if err != nil {
		s.log.Warn("log a refused sign-in", "error", err)
	}
	provider := no.provider.Name
	if provider == "" {
		provider = v.words.t("signin.provider")
	}
	p := &signinProblemPage{
		page: v.page("signin.title."+no.code, "provider", provider), What: v.words.t("signin.what."+no.code, "provider", provider),
		Whose: v.words.t("signin.whose."+no.code, "provider", provider), Do: v.words.t("signin.do."+no.code, "provider", provider), Reason: no.reason,
		Choose: address("/login", nil, "choose", "1"),
	}
	p.Here = "/login" // the address can hold a code
	if kind.again {
		p.Again = address("/login", nil, "to", no.to)
		if no.provider.ConnectionID != "" {
			p.Again = startAddress(no.provider.ConnectionID, cmp.Or(no.to, "/"), "")
		}
	}
	if kind.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "30")
	}
	return s.render(w, kind.status, "signinproblem", p)
}
