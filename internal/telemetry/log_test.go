package telemetry_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/internal/telemetry"
)

func TestLoggerHidesSecrets(t *testing.T) {
	for _, json := range []bool{false, true} {
		t.Run(fmt.Sprintf("json %t", json), func(t *testing.T) {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, slog.LevelInfo, json)
			log.Debug("below the level")
			log.Info("joined", "participant_id", "pt_1", "join_token", "hush1", "host_key", "hush2", "Authorization", "hush3",
				slog.Group("req", "api_secret", "hush4"), "held", telemetry.Secret("hush5"))
			got := out.String()
			if strings.Contains(got, "hush") || strings.Contains(got, "below") || !strings.Contains(got, "pt_1") {
				t.Errorf("log shows what it must not, or not what it must: %s", got)
			}
		})
	}
}

func TestSecretFormatsAsNothing(t *testing.T) {
	s := telemetry.Secret("hush")
	if got := fmt.Sprintf("%s %v %#v", s, s, s); strings.Contains(got, "hush") {
		t.Errorf("formatted: %s", got)
	}
}

func TestParseLevel(t *testing.T) {
	if l, err := telemetry.ParseLevel("warn"); err != nil || l != slog.LevelWarn {
		t.Errorf("ParseLevel(warn) = %v, %v", l, err)
	}
	if _, err := telemetry.ParseLevel("loud"); err == nil {
		t.Error("ParseLevel(loud) found nothing wrong")
	}
}

func TestRequestIDs(t *testing.T) {
	for _, tc := range []struct {
		name, id string
		kept     bool
	}{
		{"a caller's own", "abc-1.2_Z", true},
		{"none", "", false},
		{"too long", strings.Repeat("a", 65), false},
		{"a line break", "a\nb", false},
		{"not ASCII", "ä", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := telemetry.CleanRequestID(tc.id); (got == tc.id) != tc.kept || got == "" {
				t.Errorf("CleanRequestID(%q) = %q", tc.id, got)
			}
		})
	}
	ctx := telemetry.WithRequestID(t.Context(), "req_1")
	if telemetry.RequestID(ctx) != "req_1" || telemetry.RequestID(t.Context()) != "" {
		t.Error("the context does not carry the request id")
	}
}
