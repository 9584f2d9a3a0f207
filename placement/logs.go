package placement

import (
	"context"
	"log/slog"
	"strings"
)

// logWriter turns memberlist's log into ours.
type logWriter struct{ log *slog.Logger }

// Write implements io.Writer. A line is "date time [LEVEL] memberlist: text".
func (w logWriter) Write(line []byte) (int, error) {
	_, rest, _ := strings.Cut(string(line), "[")
	name, text, _ := strings.Cut(rest, "] ")
	level := slog.LevelDebug
	switch name {
	case "ERR", "WARN": // memberlist cries about each refused connection and each lost packet
		level = slog.LevelInfo
	}
	w.log.Log(context.Background(), level, "gossip: "+strings.TrimPrefix(strings.TrimSpace(text), "memberlist: "))
	return len(line), nil
}
