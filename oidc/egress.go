package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"gatehouse/internal/egress"
)

// egressMaxBody bounds an answer.
const egressMaxBody = 1 << 20

// Egress is the way out to addresses that administrators and issuers name: what
// package egress allows, and at most 1 MiB.
type Egress struct{ *egress.Client }

// NewEgress makes the way out. With loopback it also reaches this machine, and
// by http there: for tests.
func NewEgress(loopback bool) *Egress {
	return &Egress{egress.New(egress.Options{Loopback: loopback})}
}

// getJSON reads a JSON document.
func (e *Egress) getJSON(ctx context.Context, address string) ([]byte, error) {
	if err := e.CheckURL(address); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "gatehouse")
	answer, err := e.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(answer)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: answered %s", address, answer.Status)
	}
	switch media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); {
	case err != nil, media != "application/json" && media != "application/jwk-set+json":
		return nil, fmt.Errorf("get %s: answered with %.100q, want application/json", address, answer.Header.Get("Content-Type"))
	}
	return body, nil
}

// readBody reads an answer to its end, if that is near.
func readBody(answer *http.Response) ([]byte, error) {
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, egressMaxBody+1))
	if err == nil && len(body) > egressMaxBody {
		err = errTooLarge
	}
	return body, err
}

var errTooLarge = errors.New("answered more than 1 MiB")
