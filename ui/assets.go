package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"

	"gatehouse/store"
)

//go:embed static
var staticFiles embed.FS

// asset is a file that pages load. Its address holds a hash of it, so that a
// browser may keep it for ever.
type asset struct {
	path, kind string
	plain      []byte
	gzipped    func() []byte
}

// allAssets reads the assets, by name, and packs them once.
func allAssets() map[string]asset {
	all := map[string]asset{}
	files, _ := staticFiles.ReadDir("static")
	for _, file := range files {
		data, _ := staticFiles.ReadFile("static/" + file.Name())
		if path.Ext(file.Name()) == ".css" {
			data = compact(data)
		}
		sum := sha256.Sum256(data)
		all[file.Name()] = asset{
			path:  "/s/" + hex.EncodeToString(sum[:5]) + "/" + file.Name(),
			kind:  mime.TypeByExtension(path.Ext(file.Name())),
			plain: data, gzipped: sync.OnceValue(func() []byte {
				var packed bytes.Buffer
				z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
				z.Write(data) // into memory
				z.Close()
				return packed.Bytes()
			}),
		}
	}
	return all
}

// compact leaves out the spaces of a style sheet that are there for people.
func compact(css []byte) []byte {
	short := regexp.MustCompile(`\s*\n\s*`).ReplaceAllString(string(css), "")
	return []byte(strings.NewReplacer(" { ", "{", " {", "{", "; }", "}", " }", "}", "; ", ";", ": ", ":", ", ", ",", " > ", ">", ";}", "}").Replace(short))
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request, _ *visit) error {
	a, ok := s.assets[r.PathValue("name")]
	if !ok || a.path != r.URL.Path {
		return store.ErrNotFound
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	data := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		data = a.gzipped()
	}
	w.Write(data)
	return nil
}

// favicon is for what asks for one unasked.
func (s *Server) favicon(w http.ResponseWriter, r *http.Request, _ *visit) error {
	http.Redirect(w, r, s.assets["icon.svg"].path, http.StatusFound)
	return nil
}
