package main

import (
	"reflect"
	"testing"

	"github.com/alecthomas/kong"
)

// The demo's console shows limits, too: those that a server has of which nothing was
// said.
func TestTheDemoHasAServersDefaults(t *testing.T) {
	t.Parallel()
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	demo, err := demoSettings()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := inForce(demo), inForce(c.Serve.serveSettings); !reflect.DeepEqual(got, want) {
		t.Errorf("the demo's settings are\n%v\nwant a server's:\n%v", got, want)
	}
	if demo.MaxBody == 0 || demo.WebhookTimeout == 0 {
		t.Errorf("no limits: %+v", demo)
	}
}
