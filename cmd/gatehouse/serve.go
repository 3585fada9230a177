package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"

	"gatehouse/store"
)

type serveCmd struct {
	serveSettings `embed:""`
}

// Help shows an example.
func (serveCmd) Help() string {
	return `The database is made or brought to this program's schema first. Stop the
server with Ctrl-C or SIGTERM: it finishes the requests in progress.

Example: gatehouse serve --database-url sqlite:///var/lib/gatehouse/gatehouse.db --listen 127.0.0.1:8080 --url https://gatehouse.example`
}

// Run serves until the process is told to stop.
func (c *serveCmd) Run(a *app) error {
	log, flush := newLog(a.stderr, a.cfg.LogLevel)
	defer flush()
	st, err := a.openMigrated(store.Options{SessionIdle: c.SessionIdle, SessionLife: c.SessionLife})
	if err != nil {
		return err
	}
	defer st.Close()
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w (choose another address with --listen)", err)
	}
	tuneProcessors()
	tuneCollector()
	s, err := newServer(a.ctx, c.serveSettings, st, log)
	if err != nil {
		return err
	}
	if err := offerSetup(a, st, c.publicURL.served(l.Addr())); err != nil {
		return err
	}
	return s.run(a.ctx, l, func(addr string) {
		log.Info("listening", "addr", addr, "version", version)
	})
}

// tuneProcessors lets goroutines run on one processor more than there are. With all of
// them at long work, Go looks every ten milliseconds whether another request has come; a
// thread that sleeps until one comes is woken at once, and the kernel shares out the
// time. GOMAXPROCS counts more.
func tuneProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// tuneCollector has garbage collected less often while the heap is small, which
// requests fill quickly, and as often as needed once it is large. GOGC and
// GOMEMLIMIT count more.
func tuneCollector() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(500)
		debug.SetMemoryLimit(512 << 20)
	}
}
