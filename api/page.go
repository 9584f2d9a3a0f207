package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// fallback answers what no route does: the meeting page for a GET outside the API, and else a problem.
func (s *Server) fallback(c *gin.Context) error {
	get := c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
	path := c.Request.URL.Path
	if s.deps.Web == nil || !get || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/.well-known/") {
		return errNoRoute()
	}
	c.Status(http.StatusOK) // gin begins with 404 here
	page := &pageWriter{ResponseWriter: c.Writer}
	s.deps.Web.ServeHTTP(page, c.Request)
	if page.missed {
		return errNoRoute()
	}
	return nil
}

func errNoRoute() error { return fail(http.StatusNotFound, "not_found", "There is nothing here.") }

func wrongMethod(c *gin.Context) error {
	return fail(http.StatusMethodNotAllowed, "method_not_allowed", "This takes %s only.", c.Writer.Header().Get("Allow"))
}

// pageWriter holds back the page's own 404, so that a problem can be answered in its place.
type pageWriter struct {
	http.ResponseWriter
	missed bool
}

// WriteHeader implements http.ResponseWriter.
func (w *pageWriter) WriteHeader(status int) {
	w.missed = status == http.StatusNotFound
	if !w.missed {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *pageWriter) Write(p []byte) (int, error) {
	if w.missed {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
