package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The peer is scimmy with its routers for Express, the most complete SCIM server
// that a product on Node.js can have: everything is in its memory, and lost when
// it ends. It is measured in the same minutes by the same load.

//go:embed peer/package.json peer/package-lock.json peer/server.js
var peerFiles embed.FS

func peerJobs(z sizes) []job {
	list := []job{
		{name: "peer", goal: "P1", title: "POST /Users", conns: 8, by: byRate, target: atLeast(1), prepare: peerPair(creatingSide)},
		{name: "peer", goal: "P2", title: "GET /Users/{id}", conns: 8, by: byCPU, target: atMost(1 / 15.0), prepare: peerPair(readingSide)},
		{name: "peer", goal: "P3", title: "userName eq", conns: 8, by: byCPU, prepare: peerPair(findingSide)},
	}
	for _, size := range z.peerGroups {
		patch := target{}
		if size == 5_000 { // the goal is about that size
			patch = atMost(1 / 4000.0)
		}
		list = append(list,
			job{name: "peer", goal: "P5", title: fmt.Sprintf("PATCH add one member of %d", size), conns: 1, by: byCPU, target: patch, prepare: peerGroups(size, patchSide("add"))},
			job{name: "peer", goal: "P8", title: fmt.Sprintf("GET group of %d without members", size), conns: 1, by: byCPU, prepare: peerGroups(size, headSide)})
	}
	for i := range list {
		list[i].peer = true
		list[i].title += fmt.Sprintf(" (%d users), against scimmy in memory (%d)", z.users, z.peerUsers)
	}
	return list
}

// peerPair makes the same load for us and for the peer.
func peerPair(load func(w *world, d *directory) side) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		peer, err := w.needPeer(ctx)
		if err == nil {
			err = errors.Join(w.ours.needUsers(ctx, w.ours.least), peer.needUsers(ctx, peer.least))
		}
		if err != nil {
			return ours, against, err
		}
		ours, against = load(w, w.ours), load(w, peer)
		ours.name, against.name = "ours", "scimmy"
		return ours, against, nil
	}
}

func creatingSide(w *world, d *directory) side { return w.creating(d, "") }
func readingSide(_ *world, d *directory) side  { return side{directory: d, next: readUsers(d.users)} }
func findingSide(_ *world, d *directory) side {
	return side{directory: d, next: findUsers("userName", d.users)}
}

func peerGroups(size int, load sideOf) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		peer, err := w.needPeer(ctx)
		if err != nil {
			return ours, against, err
		}
		if ours, err = onGroup(ctx, w.ours, size, load); err != nil {
			return ours, against, err
		}
		against, err = onGroup(ctx, peer, size, load)
		ours.name, against.name = "ours", "scimmy"
		return ours, against, err
	}
}

// needPeer starts the peer.
func (w *world) needPeer(ctx context.Context) (*directory, error) {
	if w.peer != nil {
		return w.peer, nil
	}
	dir, err := installPeer(ctx)
	if err != nil {
		return nil, err
	}
	s, err := startServer(ctx, "scimmy", "node", filepath.Join(dir, "server.js"))
	if err != nil {
		return nil, err
	}
	s.base, s.token = "/scim", "peer"
	w.running = append(w.running, s)
	w.peer = &directory{server: s, note: w.note, settle: func(context.Context, string) error { return nil }, patched: 200, least: w.peerUsers}
	return w.peer, nil
}

// installPeer puts the peer and what it needs, in the versions of its lock file,
// into a directory of the user's cache, where later runs find them.
func installPeer(ctx context.Context) (dir string, err error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%s is missing: -peer needs Node.js with npm; install it, or leave -peer out", program)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	lock, err := peerFiles.ReadFile("peer/package-lock.json")
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "gatehouse-bench", fmt.Sprintf("peer-%.6x", sha256.Sum256(lock)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json", "server.js"} {
		data, err := peerFiles.ReadFile("peer/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	installed := filepath.Join(dir, "installed")
	if _, err := os.Stat(installed); err == nil {
		return dir, nil
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci in %s: %w: %s", dir, err, out)
	}
	return dir, os.WriteFile(installed, nil, 0o644)
}
