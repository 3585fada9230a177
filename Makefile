# What a person types and what the build machine runs are the same commands.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# What tests need beside Go, by the names that scripts/deps knows.
NEEDS ?= postgresql chromium nodejs npm

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 60s
ARGS     ?=

.PHONY: help build run test deps race bench fuzz lint scim-patch screenshots schema clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## make bin/gatehouse, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/gatehouse ./cmd/gatehouse

run: build ## start the demo: a sample company, nothing to configure (ARGS="--data DIR" keeps it)
	bin/gatehouse demo $(ARGS)

test: deps lint ## get what tests need, check the code, run all tests
	@mkdir -p bin
	@go tool gotestsum --format pkgname-and-test-fails --jsonfile bin/test.json -- -count=1 -timeout 30m ./...; \
	status=$$?; awk -f scripts/count.awk bin/test.json || status=1; exit $$status

deps: ## get what tests need beside Go (with apt when root, else it says how)
	@scripts/deps $(NEEDS)

race: deps ## run all tests with the race detector
	go test -race -count=1 -timeout 20m ./...

bench: deps ## measure on both databases (ARGS="-quick" for a short look)
	go run ./internal/bench $(ARGS)

fuzz: ## run every fuzz test for FUZZTIME (60s)
	@ran=0; failed=0; \
	for package in $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do \
		for name in $$(go test "$$package" -list '^Fuzz' | grep '^Fuzz'); do \
			echo "$$package $$name"; ran=$$((ran + 1)); \
			go test "$$package" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s || failed=$$((failed + 1)); \
		done; \
	done; \
	echo "$$ran fuzz tests of $(FUZZTIME) each, $$failed failed"; [ $$ran -gt 0 ] && [ $$failed -eq 0 ]

lint: ## check format, go vet, staticcheck
	@unformatted=$$(gofmt -l .) && [ -z "$$unformatted" ] || { echo "not formatted (run 'gofmt -w .'): $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

scim-patch: ## ask the npm module scim-patch about PATCH again, and write its answers down
	@scripts/deps nodejs npm
	go test ./scim -count=1 -run ScimPatch -update

screenshots: ## take the pictures of docs/images anew, of the demo's company
	@scripts/deps chromium
	go test ./internal/e2e/console -count=1 -run Screenshots -update

schema: deps ## write migrations/*/schema.sql anew from the migrations
	go test ./store -count=1 -run Schema -update

clean: ## remove what was built
	rm -rf bin
