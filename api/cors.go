package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// cors lets pages of the allowed origins call the API (the Fetch standard, section 3.2), and answers their preflights.
// Nothing of the API rests on cookies, so credentials are never allowed.
func (s *Server) cors(c *gin.Context) {
	h := c.Writer.Header()
	h.Add("Vary", "Origin")
	from := c.GetHeader("Origin")
	if from == "" {
		return
	}
	preflight := c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != ""
	allowed := slices.ContainsFunc(s.origins, func(o origin) bool { return o.matches(from) })
	if allowed {
		h.Set("Access-Control-Allow-Origin", from)
		h.Set("Access-Control-Expose-Headers", strings.Join([]string{telemetry.RequestIDHeader, "Retry-After", "Location", ReplayedHeader}, ", "))
	}
	switch {
	case preflight && allowed:
		h.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", strings.Join(
			[]string{"Authorization", "Content-Type", IdempotencyKeyHeader, HostKeyHeader, telemetry.RequestIDHeader}, ", "))
		h.Set("Access-Control-Max-Age", "600")
		c.AbortWithStatus(http.StatusNoContent)
	case preflight:
		writeProblem(c, fail(http.StatusForbidden, "origin_denied", "Pages of this origin may not call the API."))
	}
}
