package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node"
)

// Problem is the body of every error (RFC 9457). Its type is about:blank, so Title is the status's own words; what
// happened is Code, which never changes, and Detail, which is for people.
type Problem struct {
	Type      string    `json:"type"`
	Title     string    `json:"title"`
	Status    int       `json:"status"`
	Code      string    `json:"code"`
	Detail    string    `json:"detail"`
	RequestID string    `json:"request_id"`
	Errors    []Fault   `json:"errors,omitempty"`
	Missing   []Missing `json:"missing,omitempty"`
}

// Fault is one thing wrong with a request. Either Pointer or Parameter says where.
type Fault struct {
	Pointer   string `json:"pointer,omitempty"`   // into the body, a JSON pointer as URI fragment (RFC 6901 section 6)
	Parameter string `json:"parameter,omitempty"` // of the query, or a header
	Detail    string `json:"detail"`
}

// failure is the error that handlers return: everything the edge shows of it, and the cause for the log.
type failure struct {
	status     int
	code       string
	detail     string
	faults     []Fault
	missing    []Missing
	retryAfter time.Duration
	cause      error
}

// Error has everything, for logs.
func (f *failure) Error() string {
	if f.cause == nil {
		return f.code + ": " + f.detail
	}
	return f.code + ": " + f.detail + ": " + f.cause.Error()
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, detail: fmt.Sprintf(format, args...)}
}

// because adds the cause, for the log.
func (f *failure) because(err error) *failure {
	f.cause = err
	return f
}

// after tells the client when to try again.
func (f *failure) after(d time.Duration) *failure {
	f.retryAfter = d
	return f
}

func errMeetingNotFound() *failure {
	return fail(http.StatusNotFound, "meeting_not_found", "There is no meeting with this id.")
}

func errMeetingEnded() *failure {
	return fail(http.StatusGone, "meeting_ended", "The meeting has ended.")
}

func errTooMany(wait time.Duration) *failure {
	return fail(http.StatusTooManyRequests, "rate_limited", "Too many requests; try again later.").after(wait)
}

const problemType = "application/problem+json"

// asFailure is the one table from errors to what the client is told.
func asFailure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	away := errors.Is(err, bus.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	e, ok := errors.AsType[*node.Error](err)
	switch {
	case ok && away:
		return fail(http.StatusServiceUnavailable, "store_unavailable", "%s", e.Say).after(time.Second).because(err)
	case ok:
		return fail(statusOf(e.Kind), e.Code, "%s", e.Say).because(err)
	case away:
		return fail(http.StatusServiceUnavailable, "store_unavailable",
			"The store does not answer; what was asked may not have been done.").after(time.Second).because(err)
	}
	return fail(http.StatusInternalServerError, "internal", "Something went wrong on this node.").because(err)
}

// statusOf translates the kinds of the planes below.
func statusOf(kind node.ErrorKind) int {
	switch kind {
	case node.Invalid:
		return http.StatusBadRequest
	case node.Denied:
		return http.StatusForbidden
	case node.NotFound:
		return http.StatusNotFound
	case node.Full:
		return http.StatusConflict
	case node.Moved:
		return http.StatusMisdirectedRequest
	case node.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// writeProblem answers with err, unless an answer has begun, and keeps it for the request's log line.
func writeProblem(c *gin.Context, err error) {
	f := asFailure(err)
	_ = c.Error(f) //nolint:errcheck // it returns what it was given
	c.Abort()
	if c.Writer.Written() {
		return
	}
	body, err := json.Marshal(Problem{
		Type: "about:blank", Title: http.StatusText(f.status), Status: f.status, Code: f.code, Detail: f.detail,
		RequestID: telemetry.RequestID(c.Request.Context()), Errors: f.faults, Missing: f.missing,
	})
	if err != nil { // impossible: Problem holds only strings and numbers
		slog.ErrorContext(c.Request.Context(), "problem not encoded", "error", err)
	}
	if f.retryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(int(max(time.Second, f.retryAfter+time.Second-1)/time.Second)))
	}
	if f.status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", challenge(f.code))
	}
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Type", problemType) // over that of a page that was not found
	c.Data(f.status, problemType, body)
}

// challenge says how to do better (RFC 6750 section 3).
func challenge(code string) string {
	if code == "unauthenticated" {
		return `Bearer realm="parley"`
	}
	return `Bearer realm="parley", error="invalid_token"`
}
