package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// processRows measures the program by itself: its size, how soon it answers on an
// empty database, and the memory it holds when nobody asks for anything.
func processRows(ctx context.Context, w *world, j job) ([]row, error) {
	binary, err := os.Stat(w.program)
	if err != nil {
		return nil, err
	}
	size := job{goal: "P18", title: "size of the program", target: atMost(30).ofFigure()}
	made := 0
	starts, err := startRows(ctx, w, "nothing", j.target, atMost(25).ofFigure(), func(ctx context.Context) (database, base, token string, err error) {
		made++
		database, err = w.newDatabase(ctx, fmt.Sprintf("empty-%d", made))
		return database, "", "", err
	}, request{method: "GET", path: "/livez", status: 200})
	return append(starts, size.value(float64(binary.Size())/1e6, "MB")), err
}

// startRows starts the program some times on what database gives, until it has
// answered the first request, and looks at the memory it holds then.
func startRows(ctx context.Context, w *world, holding string, milliseconds, mebibytes target,
	database func(context.Context) (database, base, token string, err error), first request) ([]row, error) {
	starts := 2*w.rounds - 1
	var took []time.Duration
	var held int64
	for i := range starts {
		url, base, token, err := database(ctx)
		if err != nil {
			return nil, err
		}
		d, s, err := firstAnswer(ctx, w.program, url, base, token, first)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
		if i == starts-1 {
			time.Sleep(time.Second) // what starting needed has been let go by then
			held, err = memory(s.cmd.Process.Pid, residentMemory)
		}
		if err := errors.Join(err, s.stop()); err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	return []row{
		job{goal: "P17", title: "start to first answer, holding " + holding, target: milliseconds}.value(millis(took[starts/2]), "ms"),
		job{goal: "P16", title: "resident memory, idle, holding " + holding, target: mebibytes}.value(mebi(held), "MiB"),
	}, nil
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }
