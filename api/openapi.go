package api

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var description []byte

// describe serves the description of the API (OpenAPI 3.1).
func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(description)
}
