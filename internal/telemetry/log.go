package telemetry

import (
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns a logger that writes to w at the level and above, one JSON object or one line of text an entry.
// Attributes whose key names a secret are written as "redacted", whoever forgot that they are one.
func NewLogger(w io.Writer, level slog.Level, json bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if json {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	var level slog.Level
	err := level.UnmarshalText([]byte(s))
	return level, err
}

const redacted = "redacted"

// redact replaces the values of attributes that must not reach a log.
func redact(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindGroup && isSecret(a.Key) {
		return slog.String(a.Key, redacted)
	}
	return a
}

// isSecret knows a secret by the end of its key: "token", "join_token", "host_key", "Authorization"; a "token_id" or a
// "key_file" is none.
func isSecret(key string) bool {
	key = strings.ToLower(key)
	for _, end := range []string{"token", "secret", "password", "host_key", "api_key", "private_key", "authorization"} {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return false
}

// Secret is a string that shows nothing of itself in logs and in formatted output. Convert it to use it.
type Secret string

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }
