package ui

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/store"
)

func TestSettingsSayWhoAdministers(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		var key, token string
		g.write(func(tx *store.Tx) (err error) {
			if _, key, err = tx.CreateKey(t.Context(), "clicktime", false, now.AddDate(0, 0, 3)); err != nil {
				return err
			}
			c, err := tx.ConnectionNamed(t.Context(), g.actor.Tenant, "Okta")
			if err == nil {
				_, token, err = tx.CreateToken(t.Context(), c, time.Time{})
			}
			return err
		})
		got := g.get(chloe, "/settings")
		if got.status != 200 {
			t.Fatalf("status %d: %q", got.status, got.text("main"))
		}
		want := []string{"Sam de Vries Owner everywhere directly", "Ada Byron Access administrator everywhere directly", "Bob Okafor Site administrator Utrecht directly", "Chloé Martin Auditor everywhere directly"}
		var rows []string
		for _, row := range got.Find("#administrators tbody tr").EachIter() {
			var cells []string
			for _, cell := range row.Find("th, td").EachIter() {
				if text := strings.TrimSpace(cell.Text()); text != "" {
					cells = append(cells, text)
				}
			}
			rows = append(rows, strings.Join(cells, " "))
		}
		if !slices.Equal(rows, want) {
			t.Errorf("got %q, want %q", rows, want)
		}
		if n := got.Find("main form").Length(); n != 0 {
			t.Errorf("an auditor has %d forms", n)
		}
		if secrets := got.text("#secrets"); !strings.Contains(secrets, "SCIM tokenOkta…"+token[len(token)-4:]) || !strings.Contains(secrets, "Product keyClickTime…"+key[len(key)-4:]) || tokens.MatchString(got.body) {
			t.Errorf("got %q, want both by their ends alone", secrets)
		}
		if got.Find("#secrets td.bad").Length() != 1 {
			t.Error("the key that ends in three days doesn't stand out")
		}
		if !strings.Contains(got.text("#settings"), "Largest request bodymax-body1,024 bytes") || !strings.Contains(got.text("main"), "deleted after 7 days") {
			t.Errorf("got %q, want the settings in force and how long things are kept", got.text("main"))
		}
		if got := g.get(chloe, "/settings/administrators.csv"); got.status != 200 || strings.Count(got.body, "\r\n") != 5 {
			t.Errorf("as a file: status %d, %q", got.status, got.body)
		}
		for _, who := range []string{bob, eva} {
			for _, page := range []string{"/settings", "/settings/webhooks", "/sync", "/sync/new"} {
				if got := g.get(who, page); got.status != 403 {
					t.Errorf("%s as %s: status %d, want 403", page, who, got.status)
				}
			}
		}
	})
}

func TestWebhooks(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		page := g.get(sam, "/settings/webhooks")
		if page.status != 200 || !strings.Contains(page.text(".empty"), "No product is told") {
			t.Fatalf("status %d, %q", page.status, page.text("main"))
		}
		if got := g.get(chloe, "/settings/webhooks"); got.Find("main form").Length() != 0 {
			t.Error("an auditor has a form")
		}
		for why, f := range map[string]url.Values{
			"no address": {"product": {"clicktime"}}, "no product": {"url": {"https://x.example"}}, "another product": {"product": {"x"}, "url": {"https://x.example"}},
			"in the clear": {"product": {"clicktime"}, "url": {"http://x.example"}},
		} {
			if got := g.post(sam, "/settings/webhooks", f); got.status != 400 || got.text("main .error") == "" || got.Find("#f-url").AttrOr("value", "") != f.Get("url") {
				t.Errorf("%s: status %d, %q, want to be told", why, got.status, got.text("main .error"))
			}
		}
		f := url.Values{"product": {"clicktime"}, "url": {"https://click.example/hook"}}
		made := g.post(sam, "/settings/webhooks", f)
		at := made.header.Get("Location")
		shown, _ := g.onceShown(sam, made)
		if !strings.HasPrefix(shown.Find("#new-secret").Text(), "whsec_") {
			t.Fatalf("got %q, want the secret", shown.text("main"))
		}
		if got := g.get(sam, at); tokens.MatchString(got.body) || !strings.Contains(got.text("main"), "https://click.example/hookworks") {
			t.Errorf("a second time: %q", got.text("main"))
		}
		if got := g.post(sam, "/settings/webhooks", f); got.status != 409 {
			t.Errorf("sent twice: status %d, want 409", got.status)
		}

		id := store.WebhookID(strings.TrimPrefix(at, "/settings/webhooks/"))
		delivery := func(seq int64, state string, user store.UserID) store.Delivery {
			return store.Delivery{ID: store.DeliveryID(store.NewSiteID()), WebhookID: id, Seq: seq, UserID: user, Type: "access.changed", Body: "{}", CreatedAt: store.At(now),
				State: state, Attempts: 8, NextAt: store.At(now), Error: "timeout", EndedAt: store.At(now)}
		}
		g.write(func(tx *store.Tx) error {
			tx.QueueDeliveries([]store.Delivery{delivery(1, store.DeliveryDead, g.users[eva]), delivery(2, store.DeliveryDelivered, g.users[bob]), delivery(3, store.DeliveryDead, g.users[bob])})
			return nil
		})
		if got := g.get(chloe, at); got.Find("#deliveries tbody tr").Length() != 3 || got.Find("main form[method=post]").Length() != 0 || !strings.Contains(got.text("#deliveries"), "Eva Smit") {
			t.Errorf("messages: %q", got.text("#deliveries"))
		}
		dead := g.get(sam, at+"?state=dead")
		if dead.Find("#deliveries tbody tr").Length() != 2 || g.get(sam, at+"?state=x").status != 400 {
			t.Errorf("those given up: %q", dead.text("#deliveries"))
		}
		one := dead.Find("#deliveries input[name=delivery]").First().AttrOr("value", "")
		for _, step := range []struct {
			f    url.Values
			want int
		}{
			{url.Values{"do": {"retry"}, "delivery": {one}}, 303}, {url.Values{"do": {"retry"}, "delivery": {one}}, 404}, {url.Values{"do": {"retry"}, "delivery": {"x"}}, 404},
			{url.Values{"do": {"retry-all"}}, 303}, {url.Values{"do": {"disable"}}, 303}, {url.Values{"do": {"retry-all"}}, 303}, {url.Values{"do": {"enable"}}, 303},
			{url.Values{"do": {"rotate"}}, 303}, {url.Values{"do": {"x"}}, 400}, {nil, 400},
		} {
			if got := g.post(sam, at, step.f); got.status != step.want {
				t.Errorf("%v: status %d, want %d: %q", step.f, got.status, step.want, got.text("main"))
			}
		}
		secrets, err := g.WebhookSecrets(t.Context(), g.actor.Tenant, id)
		if err != nil || len(secrets) != 2 {
			t.Errorf("%d secrets, %v, want the old and the new", len(secrets), err)
		}
		if got := g.get(chloe, at+"/deliveries.csv"); got.status != 200 || strings.Count(got.body, "\r\n") != 4 {
			t.Errorf("as a file: status %d, %q", got.status, got.body)
		}
		for _, who := range []string{chloe, ada, bob} {
			if got := g.post(who, at, url.Values{"do": {"remove"}}); got.status != 403 {
				t.Errorf("removed by %s: status %d, want 403", who, got.status)
			}
		}
		for _, id := range []string{"x", "0199aaaa-0000-7000-8000-000000000000"} {
			if a, b := g.get(sam, "/settings/webhooks/"+id).status, g.post(sam, "/settings/webhooks/"+id, url.Values{"do": {"remove"}}).status; a != 404 || b != 404 {
				t.Errorf("webhook %s: status %d and %d, want 404", id, a, b)
			}
		}
		if got := g.post(sam, at, url.Values{"do": {"remove"}}); got.status != 303 || g.get(sam, at).status != 404 {
			t.Errorf("removed: status %d", got.status)
		}
	})
}

func TestSettingsInWords(t *testing.T) {
	t.Parallel()
	all := allWords()
	for _, test := range []struct {
		lang  string
		value any
		want  string
	}{
		{"en", Bytes(33554432), "33,554,432 bytes"},
		{"nl", PerSecond(0), "geen grens"},
		{"nl", PerSecond(25), "25 per seconde"},
		{"nl", 168 * time.Hour, "7 dagen"},
		{"en", 36 * time.Hour, "36 hours"},
		{"en", time.Minute, "1 minute"},
		{"en", 1500 * time.Millisecond, "1.5s"},
		{"nl", []time.Duration{5 * time.Second, 2 * time.Minute}, "5 seconden, 2 minuten"},
		{"nl", true, "ja"},
		{"nl", "", "geen"},
		{"nl", 2, "2"},
		{"en", "https://gatehouse.example", "https://gatehouse.example"},
	} {
		if got := all[test.lang].setting(test.value); got != test.want {
			t.Errorf("%v in %s: got %q, want %q", test.value, test.lang, got, test.want)
		}
	}
	rows := all["nl"].settingRows([]Setting{{Name: "keys", Value: 2, Fixed: true}, {Name: "max-body", Value: Bytes(1024)}})
	if want := []settingRow{{"Werkende sleutels van een product, hooguit", "", "2"}, {"Grootste inhoud van een verzoek", "max-body", "1.024 bytes"}}; !slices.Equal(rows, want) {
		t.Errorf("got %+v, want %+v", rows, want)
	}
}
