package main

import (
	"fmt"
	"os"

	"gatehouse/internal/replay"
)

type replayCmd struct {
	SCIMURL      string `name:"url" help:"The SCIM URL of a connection, as 'connection add' printed it." required:"" placeholder:"URL" env:"-"`
	Token        string `help:"A token of the connection." required:"" placeholder:"TOKEN"`
	ClientID     string `help:"The connection's OAuth client, for lines that ask for an access token." placeholder:"ID"`
	ClientSecret string `help:"A secret of the client." placeholder:"SECRET"`
	Assertion    string `help:"A signed assertion of the client (RFC 7523)." placeholder:"JWT"`
	File         string `arg:"" help:"Recorded requests, one JSON object a line." type:"existingfile"`
}

// Help shows an example.
func (replayCmd) Help() string {
	return `Each line is {"id","method","path","want","body"}; {id}, {gid}, {u1} and the like
stand for users and groups that are made for the line. Exit status 1 when an
answer was another one than wanted. Meant for a test connection: it writes.

Example: gatehouse replay --url http://127.0.0.1:8080/scim/…/v2 --token ghs_… traffic.ndjson`
}

// Run plays the file.
func (c *replayCmd) Run(a *app) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	p := replay.Player{
		BaseURL: c.SCIMURL, Token: c.Token,
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, Assertion: c.Assertion,
	}
	results := []replay.Result{}
	summary, err := p.Play(a.ctx, f, func(r replay.Result) {
		results = append(results, r)
		if a.cfg.JSON {
			return
		}
		verdict := "ok"
		switch {
		case r.NotPlayed:
			verdict = "not played"
		case !r.OK:
			verdict = "WRONG"
		}
		fmt.Fprintf(a.stdout, "%-10s %-6s %-6s %-50.50s %3d %6.1f ms  %s\n", verdict, r.ID, r.Method, r.Path, r.Got, r.Millis, r.Detail)
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%d as wanted, %d wrong, %d not played\n", summary.Passed, summary.Failed, summary.NotPlayed)
	if err := a.print(map[string]any{"summary": summary, "results": results}, text); err != nil || summary.Failed == 0 {
		return err
	}
	return exitStatus(1)
}
