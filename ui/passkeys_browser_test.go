package ui

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"gatehouse/store"
)

// TestPasskeysInABrowser has a real browser, with an authenticator that it pretends
// to have, make a passkey by the page's script and sign in with it.
func TestPasskeysInABrowser(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: run 'make deps', or install the package chromium", err)
	}
	g := newRig(t)
	jan, user := g.comeIn()
	timed, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	allocator, stop := chromedp.NewExecAllocator(timed, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))...)
	defer stop()
	faults := make(chan string, 100)
	ctx, closeTab := chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			faults <- e.ExceptionDetails.Text
		}
		if e, ok := event.(*runtime.EventBindingCalled); ok {
			faults <- e.Payload
		}
	}))
	defer closeTab()
	must(t, ctx, webauthn.Enable, webauthn.EnableParams{})
	must(t, ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	for _, c := range jan.client.Jar.Cookies(mustURL(t, jan.home)) {
		must(t, ctx, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: jan.home})
	}
	says := func(text string) {
		t.Helper()
		last := ""
		for {
			got, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
			if timed.Err() != nil {
				t.Fatalf("waited in vain for %q: %q", text, last)
			}
			last = got
			if err == nil && strings.Contains(got, text) {
				return
			}
		}
	}
	press := func(path, text string) {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.Navigate(jan.home+path), chromedp.Click(chromedp.CSS("form[data-passkey] button"))); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		says(text)
	}
	press("/me/passkeys?welcome=1", "The passkey was added")
	if all := g.passkeysOf(user); len(all) != 1 || all[0].Name != "Linux" {
		t.Errorf("kept %+v, want one that is called by the device", all)
	}
	press("/me/passkeys", "has a passkey for you already")

	must(t, ctx, network.ClearBrowserCookies, cdp.Empty{})
	press("/login/passkey?to=%2Fme%2Fpasskeys", "last used")
	sessions, err := g.Sessions(t.Context(), g.actor.Tenant, user)
	if err != nil || len(sessions) != 2 || sessions[0].Method != store.MethodPasskey {
		t.Errorf("sessions %+v, %v; want one by passkey", sessions, err)
	}

	// Somebody who was taken away sees why not.
	must(t, ctx, network.ClearBrowserCookies, cdp.Empty{})
	g.write(func(tx *store.Tx) error {
		_, err := tx.ChangePerson(t.Context(), user, func(p store.Person) store.Person { p.LoginAllowed = false; return p })
		return err
	})
	press("/login/passkey", "can't sign in any more")
	select {
	case fault := <-faults:
		t.Errorf("the browser complains: %s", fault)
	default:
	}
}

// must sends a command of the protocol.
func must[P, R any](t *testing.T, ctx context.Context, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(ctx, command, params); err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
}
