package telemetry

import (
	"context"
	"crypto/rand"
	"strings"
)

// RequestIDHeader is the HTTP header that carries a request's id, both ways.
const RequestIDHeader = "X-Request-Id"

// maxRequestID bounds an id that a stranger chose.
const maxRequestID = 64

type requestIDKey struct{}

// NewRequestID returns a new id, unguessable and unique.
func NewRequestID() string { return "req_" + strings.ToLower(rand.Text()) }

// CleanRequestID returns the caller's id if it is one that can stand in a log and a header, and a new id otherwise.
func CleanRequestID(id string) string {
	if id == "" || len(id) > maxRequestID {
		return NewRequestID()
	}
	for i := range len(id) {
		c := id[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("-_.", rune(c)) {
			return NewRequestID()
		}
	}
	return id
}

// WithRequestID returns a context that carries the id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id that the context carries, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
