// Package web is the meeting page: it holds the built web app and serves it over HTTP. It is not the API and keeps no
// state. The app's source is in src; dist is made from it by "make web" and committed, so that building the server
// needs no Node.
package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// policy is the page's Content-Security-Policy. Sockets may go anywhere, since the room may live on another node than
// the one that served the page; code and styles come from here alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; " +
	"font-src 'self'; connect-src 'self' http: https: ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler serves the app: its files under their own names, its page for "/", "/cluster", "/test" and all of "/m/", and 404 for the
// rest. Files in /assets carry a hash of their content in the name and are cached for good; the others are always
// revalidated.
func Handler() http.Handler {
	files, err := load(dist, "dist")
	if err != nil {
		// The files are part of the binary: reading them cannot fail, and an empty app answers 404.
		files = map[string]file{}
	}
	return app(files)
}

// file is one file of the app, ready to be sent.
type file struct {
	body        []byte
	contentType string
	etag        string
}

// load reads every file below root into memory, keyed by its URL path.
func load(tree fs.FS, root string) (map[string]file, error) {
	files := map[string]file{}
	err := fs.WalkDir(tree, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		files[strings.TrimPrefix(name, root)] = file{body: body, contentType: contentType(name), etag: etag(body)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("web: read the app: %w", err)
	}
	if len(files) == 0 {
		return nil, errors.New("web: the app is empty")
	}
	return files, nil
}

// contentType does not ask the machine's own MIME tables, which differ from host to host.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".webmanifest":
		return "application/manifest+json"
	case ".woff2":
		return "font/woff2"
	case ".txt":
		return "text/plain; charset=utf-8"
	default:
		return cmp.Or(mime.TypeByExtension(ext), "application/octet-stream")
	}
}

// etag is a strong validator (RFC 9110 section 8.8.3) from the content alone, equal on every node.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// app is the handler; it never changes after it was made.
type app map[string]file

// ServeHTTP answers GET and HEAD.
func (a app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f, ok := a[pageOf(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	if strings.HasPrefix(r.URL.Path, "/assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.HasPrefix(f.contentType, "text/html") {
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self)")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// pageOf maps the app's own routes to its page and leaves files as they are.
func pageOf(urlPath string) string {
	if urlPath == "/" || urlPath == "/cluster" || urlPath == "/test" || strings.HasPrefix(urlPath, "/m/") {
		return "/index.html"
	}
	return urlPath
}
