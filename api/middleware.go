package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// handler answers a request, or returns the error that is answered instead of it.
type handler func(*gin.Context) error

// gin makes a gin handler of h.
func (h handler) gin() gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			writeProblem(c, err)
		}
	}
}

// bounded is the request's context for calls to the store and to rooms, which may take Timeouts.Store in all.
func (s *Server) bounded(c *gin.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request.Context(), s.cfg.Timeouts.Store)
}

// noBody refuses whatever a request says that has nothing to say; an empty object is nothing.
func (s *Server) noBody(c *gin.Context) error {
	var nothing struct{}
	_, err := s.decode(c, &nothing, true)
	return err
}

// identify gives the request its id: in its context, and so in join tokens and logs, and in the answer.
func identify(c *gin.Context) {
	id := telemetry.CleanRequestID(c.GetHeader(telemetry.RequestIDHeader))
	c.Request = c.Request.WithContext(telemetry.WithRequestID(c.Request.Context(), id))
	c.Header(telemetry.RequestIDHeader, id)
}

// observe counts the request and writes its one line of log.
func (s *Server) observe(c *gin.Context) {
	start := time.Now()
	c.Next()
	status, route := c.Writer.Status(), routeName(c.FullPath())
	telemetry.Counter(telemetry.Name("parley_http_requests_total", "route", route, "status", strconv.Itoa(status))).Inc()
	if !isSocket(route) {
		telemetry.Histogram(telemetry.Name("parley_http_request_duration_seconds", "route", route)).UpdateSince(start)
	}
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method), slog.String("route", route), slog.Int("status", status),
		slog.Duration("took", time.Since(start)), slog.String("request_id", telemetry.RequestID(c.Request.Context())),
		slog.String("remote", c.ClientIP()),
	}
	if who := callerOf(c); !who.guest() {
		attrs = append(attrs, slog.String("caller", who.id))
	}
	if id := c.Param("id"); isID(id, meetingPrefix) {
		attrs = append(attrs, slog.String("meeting_id", id))
	}
	if err := c.Errors.Last(); err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	s.deps.Log.LogAttrs(c.Request.Context(), levelOf(status, route), "request", attrs...)
}

// routeName names the route for metrics: one of a bounded set.
func routeName(path string) string {
	if path == "" {
		return "other"
	}
	return path
}

func isSocket(route string) bool { return route == signalPath }

func levelOf(status int, route string) slog.Level {
	switch {
	case status >= http.StatusInternalServerError && route != "/readyz":
		return slog.LevelError
	case !strings.HasPrefix(route, "/v1/"):
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// rescue answers a request whose handler panicked. The process goes on: the calls it carries matter more.
func (s *Server) rescue(c *gin.Context) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(reason) //nolint:forbidigo // net/http's own way to cut a connection
		}
		s.deps.Log.ErrorContext(c.Request.Context(), "handler panicked", "panic", reason, "stack", string(debug.Stack()),
			"request_id", telemetry.RequestID(c.Request.Context()))
		writeProblem(c, fail(http.StatusInternalServerError, "internal", "Something went wrong on this node."))
	}()
	c.Next()
}

// strictPolicy lets an answer of the API load nothing, wherever somebody opens it. The page brings a policy of its own.
const strictPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// harden sets the headers that browsers protect people by.
func (s *Server) harden(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", strictPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if strings.HasPrefix(s.cfg.PublicURL, "https://") {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// checkHost refuses, in dev, requests for hosts that are not this machine's own names (DNS rebinding).
func (s *Server) checkHost(c *gin.Context) {
	if s.cfg.Dev && !isLoopbackHost(c.Request.Host) {
		writeProblem(c, fail(http.StatusMisdirectedRequest, "host_denied", "A development node answers for localhost only."))
	}
}
