package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// SMTP sends by a mail server: smtp://USER:PASSWORD@HOST:587, where the connection is
// encrypted by STARTTLS (RFC 3207), or smtps://HOST:465, where it is from the start
// (RFC 8314 §3). A server on this machine need not offer encryption; for another one
// that can't, as inside a closed network, add ?tls=off. From is the sender, as
// "Gatehouse <gatehouse@example.com>".
func SMTP(server, from string) (Send, error) {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errors.New("smtp-url: want smtp://USER:PASSWORD@HOST:587 or smtps://…:465") // and don't repeat a password
	}
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("mail-from %q: want an address, such as \"Gatehouse <gatehouse@example.com>\"", from)
	}
	options, err := smtpOptions(u)
	if err != nil {
		return nil, err
	}
	if _, err := gomail.NewClient(u.Hostname(), options...); err != nil {
		return nil, fmt.Errorf("smtp-url: %w", err)
	}
	return func(ctx context.Context, m Message) error {
		client, err := gomail.NewClient(u.Hostname(), options...)
		if err != nil {
			return err
		}
		msg := gomail.NewMsg()
		if err := errors.Join(msg.FromFormat(sender.Name, sender.Address), msg.To(m.To)); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		_, host, _ := strings.Cut(sender.Address, "@")
		msg.SetMessageIDWithValue(m.ID + "@" + host)
		msg.SetDate()
		msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: nobody's absence shall answer
		msg.Subject(m.Subject)
		msg.SetBodyString(gomail.TypeTextPlain, m.Text)
		return classify(client.DialAndSendWithContext(ctx, msg))
	}, nil
}

func smtpOptions(u *url.URL) ([]gomail.Option, error) {
	port, policy := 587, gomail.TLSMandatory
	options := []gomail.Option{gomail.WithTimeout(sendTimeout)}
	ip := net.ParseIP(u.Hostname())
	switch tls := u.Query().Get("tls"); {
	case u.Scheme == "smtps":
		port = 465
		options = append(options, gomail.WithSSL())
	case tls == "off":
		policy = gomail.NoTLS
	case tls != "":
		return nil, fmt.Errorf("smtp-url: tls=%s: want off, or nothing", tls)
	case u.Hostname() == "localhost", ip != nil && ip.IsLoopback():
		policy = gomail.TLSOpportunistic
	}
	if text := u.Port(); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("smtp-url: port %s: %w", text, err)
		}
		port = n
	}
	options = append(options, gomail.WithPort(port), gomail.WithTLSPolicy(policy))
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	return options, nil
}

// classify tells what a server refuses for good from what it may take later (RFC 5321
// §4.2.1). What goes wrong before the message is offered, such as a wrong password, is
// for an administrator to mend: that may come.
func classify(err error) error {
	var sending *gomail.SendError
	if !errors.As(err, &sending) || sending.IsTemp() {
		return err
	}
	switch sending.Reason {
	case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose, gomail.ErrNoUnencoded:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
