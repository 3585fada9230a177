package mail

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/pgtest"
	"gatehouse/internal/seal"
	"gatehouse/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var migrated = pgtest.Template{Prepare: migrate}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// letterbox is a mail server (RFC 5321) on a free port.
type letterbox struct {
	net.Listener
	mu sync.Mutex
	// say answers a command otherwise than with what is usual; "" is usual, and hangUp
	// ends the call without a word.
	say  func(command string) string
	got  []*mail.Message
	came chan struct{}
}

const hangUp = "hang up"

func newLetterbox(t *testing.T) *letterbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &letterbox{Listener: l, came: make(chan struct{}, 100)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.talk(c)
		}
	}()
	return b
}

func (b *letterbox) answer(command string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.say == nil {
		return ""
	}
	return b.say(command)
}

func (b *letterbox) answers(say func(command string) string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.say = say
}

func (b *letterbox) talk(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, "220 letterbox ready\r\n")
	in := bufio.NewScanner(c)
	for in.Scan() {
		command := in.Text()
		verb, _, _ := strings.Cut(strings.ToUpper(command), " ")
		other := b.answer(command)
		if other == hangUp {
			return
		}
		if other != "" {
			fmt.Fprint(c, other, "\r\n")
			continue
		}
		switch verb {
		case "DATA":
			fmt.Fprint(c, "354 go on\r\n")
			var text strings.Builder
			for in.Scan() && in.Text() != "." {
				text.WriteString(strings.TrimPrefix(in.Text(), ".") + "\r\n")
			}
			m, err := mail.ReadMessage(strings.NewReader(text.String()))
			if err != nil {
				fmt.Fprint(c, "554 unreadable\r\n")
				continue
			}
			b.mu.Lock()
			b.got = append(b.got, m)
			b.mu.Unlock()
			fmt.Fprint(c, "250 taken\r\n")
			b.came <- struct{}{}
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}

func (b *letterbox) messages() []*mail.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*mail.Message(nil), b.got...)
}

// desk is an outbox with a clock that the test moves.
type desk struct {
	*store.Store
	*Outbox
	t      *testing.T
	at     time.Time
	mu     sync.Mutex
	tenant store.TenantID
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *desk) wait(pause time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(pause)
}

func onBoth(t *testing.T, test func(t *testing.T, d *desk, b *letterbox)) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string {
			url := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
			if err := migrate(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			return url
		},
		"postgres": func(t *testing.T) string { return migrated.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newLetterbox(t)
			d := &desk{t: t, at: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)}
			var err error
			if d.Store, err = store.Open(t.Context(), url(t), store.Options{Now: d.now}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Store.Close() })
			send, err := SMTP("smtp://"+b.Addr().String(), "Gatehouse <gatehouse@waterland.example>")
			if err != nil {
				t.Fatal(err)
			}
			sealer, err := seal.New("test", make([]byte, 32), "")
			if err != nil {
				t.Fatal(err)
			}
			d.Outbox = New(d.Store, Options{Send: send, Sealer: sealer, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Every: time.Hour})
			tenant, err := d.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, store.DefaultTenant)
			if err != nil {
				t.Fatal(err)
			}
			d.tenant = tenant.ID
			test(t, d, b)
		})
	}
}

func (d *desk) write(f func(tx *store.Tx) error) {
	d.t.Helper()
	if err := d.Write(d.t.Context(), store.Actor{Tenant: d.tenant, Kind: store.ActorCLI, ID: "grace"}, f); err != nil {
		d.t.Fatal(err)
	}
}

// invite queues the mail of a new invitation.
func (d *desk) invite(name string) (v store.Invitation) {
	d.t.Helper()
	d.write(func(tx *store.Tx) (err error) {
		var secret string
		v, secret, err = tx.CreateInvitation(d.t.Context(), store.Invitation{Kind: access.KindContractor, DisplayName: name, Email: name + "@klus.example"})
		if err != nil {
			return err
		}
		return d.Queue(d.t.Context(), tx, v.ID, Message{To: v.Email, Subject: "Uitnodiging voor \u202eCafé", Text: "Bob\u2067 en Jan\u200f: open https://gatehouse.example/i/" + secret + "\n.\nééntje\n"})
	})
	return v
}

func (d *desk) round(want int) {
	d.t.Helper()
	if n, err := d.Outbox.round(d.t.Context()); err != nil || n != want {
		d.t.Errorf("took %d mails, %v; want %d", n, err, want)
	}
}

func (d *desk) mail(v store.Invitation) store.Mail {
	d.t.Helper()
	all, err := d.MailsOf(d.t.Context(), d.tenant, []store.InvitationID{v.ID})
	if err != nil {
		d.t.Fatal(err)
	}
	return all[v.ID]
}

func TestMailIsSentOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, d *desk, b *letterbox) {
		v := d.invite("jan")
		if m := d.mail(v); m.Sealed == "" || strings.Contains(m.Sealed, "ghi_") || !m.EndedAt.IsZero() {
			t.Errorf("waiting: %+v, want it closed", m)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.Run(ctx) }()
		<-b.came
		d.Wake()
		stop()
		<-done
		d.round(0)
		got := b.messages()
		if len(got) != 1 {
			t.Fatalf("got %d mails, want 1", len(got))
		}
		h := got[0].Header
		if h.Get("To") != "<jan@klus.example>" || h.Get("From") != `"Gatehouse" <gatehouse@waterland.example>` || h.Get("Auto-Submitted") == "" || h.Get("Message-Id") == "" {
			t.Errorf("got the header %v", h)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
		text, err2 := io.ReadAll(quotedprintable.NewReader(got[0].Body))
		if err := cmp.Or(err, err2); err != nil || subject != "Uitnodiging voor Café" || !strings.HasPrefix(string(text), "Bob en Jan: open") {
			t.Errorf("got %q: %q (%v), want nothing that turns the rest of a line", subject, text, err)
		}
		if m := d.mail(v); m.Sealed != "" || m.EndedAt.IsZero() || m.Error != "" || m.Attempts != 1 {
			t.Errorf("sent: %+v, want it ended and forgotten", m)
		}
	})
}

func TestMailIsTriedAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, d *desk, b *letterbox) {
		b.answers(func(command string) string {
			if strings.HasPrefix(command, "RCPT") {
				return "451 come back later"
			}
			return ""
		})
		v := d.invite("jan")
		for i, pause := range pauses {
			d.round(1)
			d.round(0) // it isn't due yet
			if m := d.mail(v); !m.EndedAt.IsZero() || !strings.Contains(m.Error, "come back later") || m.Attempts != i+1 || !m.DueAt.Equal(d.now().Add(pause)) {
				t.Fatalf("attempt %d: %+v, want it due in %v", i+1, m, pause)
			}
			d.wait(pause)
			if d.now().After(v.ExpiresAt.Time) {
				t.Fatal("the pauses are longer than an invitation")
			}
		}
		b.answers(nil)
		d.round(1)
		if m := d.mail(v); m.EndedAt.IsZero() || m.Error != "" || len(b.messages()) != 1 {
			t.Errorf("after all: %+v, %d mails", m, len(b.messages()))
		}
	})
}

func TestMailIsGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, d *desk, b *letterbox) {
		b.answers(func(command string) string {
			if strings.HasPrefix(command, "RCPT") {
				return "550 no such person"
			}
			return ""
		})
		v := d.invite("jan")
		d.round(1)
		if m := d.mail(v); m.EndedAt.IsZero() || m.Sealed != "" || !strings.Contains(m.Error, "no such person") {
			t.Errorf("refused: %+v, want it given up", m)
		}

		b.answers(func(string) string { return hangUp })
		v = d.invite("piet")
		for _, pause := range pauses {
			d.round(1)
			d.wait(pause)
		}
		d.round(1)
		if m := d.mail(v); m.EndedAt.IsZero() || m.Error == "" || m.Attempts != len(pauses)+1 {
			t.Errorf("unreachable: %+v, want it given up", m)
		}
	})
}

func TestMailThatIsOverIsNotSent(t *testing.T) {
	onBoth(t, func(t *testing.T, d *desk, b *letterbox) {
		ctx := t.Context()
		v := d.invite("jan")
		d.write(func(tx *store.Tx) error { return tx.WithdrawInvitation(ctx, v.ID, "mistyped") })
		d.round(0)
		if m := d.mail(v); m.EndedAt.IsZero() || m.Error == "" || m.Sealed != "" {
			t.Errorf("withdrawn: %+v, want it given up", m)
		}
		v = d.invite("piet")
		d.write(func(tx *store.Tx) error {
			_, _, err := tx.ResendInvitation(ctx, v.ID, nil)
			if err != nil {
				return err
			}
			return d.Queue(ctx, tx, v.ID, Message{To: "piet@new.example", Subject: "Again", Text: "x"})
		})
		d.round(1)
		if got := b.messages(); len(got) != 1 || got[0].Header.Get("To") != "<piet@new.example>" {
			t.Errorf("sent anew while the first waited: %d mails, want the second alone", len(got))
		}
	})
}

// TestTwoReplicasSendOne has two outboxes look at the same time.
func TestTwoReplicasSendOne(t *testing.T) {
	onBoth(t, func(t *testing.T, d *desk, b *letterbox) {
		for i := range 30 {
			d.invite(fmt.Sprintf("jan%d", i))
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					n, err := d.Outbox.round(t.Context())
					if err != nil {
						t.Error(err)
					}
					if n == 0 || err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		seen := map[string]int{}
		for _, m := range b.messages() {
			seen[m.Header.Get("To")]++
		}
		if len(seen) != 30 || len(b.messages()) != 30 {
			t.Errorf("%d mails to %d people, want 30 to 30", len(b.messages()), len(seen))
		}
	})
}

func TestAServerWithoutTLSGetsNoPassword(t *testing.T) {
	t.Parallel()
	b := newLetterbox(t)
	_, port, _ := net.SplitHostPort(b.Addr().String())
	// An address that counts as one elsewhere, though it leads here.
	send, err := SMTP("smtp://ann:secret@0.0.0.0:"+port, "gatehouse@waterland.example")
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	b.answers(func(command string) string { heard = append(heard, command); return "" })
	err = send(t.Context(), Message{ID: "x", To: "jan@klus.example", Subject: "x", Text: "x"})
	if err == nil || len(b.messages()) > 0 || errors.Is(err, ErrRefused) {
		t.Errorf("got %v and %d mails, want none without STARTTLS, and another try", err, len(b.messages()))
	}
	for _, command := range heard {
		if strings.HasPrefix(command, "AUTH") {
			t.Errorf("said %q without TLS", command)
		}
	}
}

func TestSettingsThatCanNotWork(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ server, from, want string }{
		{"mail.example", "a@b.example", "smtp-url"},
		{"http://mail.example", "a@b.example", "smtp-url"},
		{"smtp://mail.example:x", "a@b.example", "smtp-url"},
		{"smtp://mail.example?tls=maybe", "a@b.example", "smtp-url"},
		{"smtp://mail.example", "nobody", "mail-from"},
		{"smtp://mail.example", "", "mail-from"},
		{"smtp://ann:secret%zz@mail.example", "a@b.example", "smtp-url"},
	} {
		_, err := SMTP(test.server, test.from)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s from %q: %v, want it to begin with %q", test.server, test.from, err, test.want)
		}
	}
}
