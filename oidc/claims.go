package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// maxNames bounds the members of an object; Entra sends about twenty claims.
const maxNames = 100

// maxAudiences bounds whom a token is for.
const maxAudiences = 20

// claims are the members of a JSON object, by their exact names. encoding/json
// would take "SUB" for sub, and the last of two for both.
type claims map[string]json.RawMessage

// object reads a JSON object and refuses two names that a careless reader could
// take for one: the same twice, or in another case.
func object(data []byte) (claims, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	all := claims{}
	var names []string
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not a JSON object: %w", err)
		}
		name, _ := t.(string) // the decoder gives nothing else for a name
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return nil, fmt.Errorf("%.100q is there twice", name)
		}
		if names = append(names, name); len(names) > maxNames {
			return nil, fmt.Errorf("more than %d names", maxNames)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("%.100q: %w", name, err)
		}
		all[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return all, nil
}

// has reports whether a claim is there; null is not there.
func (c claims) has(name string) bool {
	value, ok := c[name]
	return ok && string(value) != "null"
}

// text reads a claim that must be a string that is not empty.
func (c claims) text(name string) (string, error) {
	var s string
	if !c.has(name) {
		return "", fmt.Errorf("no %s", name)
	}
	if json.Unmarshal(c[name], &s) != nil || s == "" {
		return "", fmt.Errorf("%s is no text", name)
	}
	return s, nil
}

// optional reads a claim that may be absent. One that is there must be a text.
func (c claims) optional(name string) (text string, there bool, err error) {
	if _, there = c[name]; !there {
		return "", false, nil
	}
	text, err = c.text(name)
	return text, true, err
}

// audiences reads aud: one text, or a list of some, none of them twice (RFC 7519
// §4.1.3).
func (c claims) audiences() ([]string, error) {
	if !bytes.HasPrefix(c["aud"], []byte("[")) {
		one, err := c.text("aud")
		return []string{one}, err
	}
	var list []string
	if json.Unmarshal(c["aud"], &list) != nil || len(list) == 0 || len(list) > maxAudiences {
		return nil, errors.New("aud is no list of texts, or an empty or a long one")
	}
	slices.Sort(list)
	if list[0] == "" || len(slices.Compact(slices.Clone(list))) != len(list) {
		return nil, errors.New("aud names one twice, or nobody")
	}
	return list, nil
}

// strings reads a list of texts; an absent one is empty.
func (c claims) strings(name string) ([]string, error) {
	var list []string
	if value, there := c[name]; there && json.Unmarshal(value, &list) != nil {
		return nil, fmt.Errorf("%s is no list of texts", name)
	}
	return list, nil
}

// flag reads a boolean; an absent one is false.
func (c claims) flag(name string) (on bool, err error) {
	if value, there := c[name]; there && json.Unmarshal(value, &on) != nil {
		return false, fmt.Errorf("%s is neither true nor false", name)
	}
	return on, nil
}

// instant reads a NumericDate (RFC 7519 §2).
func (c claims) instant(name string) (time.Time, error) {
	var seconds float64
	if !c.has(name) {
		return time.Time{}, fmt.Errorf("no %s", name)
	}
	if json.Unmarshal(c[name], &seconds) != nil || seconds < 0 || seconds > math.MaxInt32*64 {
		return time.Time{}, fmt.Errorf("%s is no time", name)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}
