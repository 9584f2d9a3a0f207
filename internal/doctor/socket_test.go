package doctor

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/signal/client"
)

// switches is a handler that upgrades, as well as it is told.
func switches(protocol string, right bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // likewise
		if !right {
			sum[0]++
		}
		h := w.Header()
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		h.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
		h.Set("Sec-WebSocket-Protocol", protocol)
		w.WriteHeader(http.StatusSwitchingProtocols)
	}
}

func TestUpgradeNamesWhatStandsInBetween(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		state  State
		cause  string
	}{
		{"well", switches("parley.v1", true), OK, ""},
		{"no subprotocol", switches("", true), Fail, `WebSocket: the subprotocol is "", not "parley.v1"`},
		{"no WebSocket", switches("parley.v1", false), Fail, "knows no WebSocket"},
		{"Upgrade is stripped", says(426, `{"code":"upgrade_required"}`), Fail, "a proxy strips Upgrade: HTTP 426 upgrade_required"},
		{"refused", says(401, `{"code":"token_expired"}`), Fail, "token refused: HTTP 401 token_expired"},
		{"revoked", says(403, `{"code":"token_revoked"}`), Fail, "token refused: HTTP 403 token_revoked"},
		{"too often", says(429, `{"code":"rate_limited"}`), Fail, "rate limited: HTTP 429"},
		{"a proxy's page", says(200, "<html>"), Fail, "WebSocket: the upgrade is answered with HTTP 200"},
		{"a proxy without its server", says(502, "<html>"), Fail, "WebSocket: the upgrade is answered with HTTP 502"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := serve(t, tc.answer)
			ticket := client.Ticket{SignalEndpoint: "ws" + strings.TrimPrefix(r.base, "http") + "/v1/signal", JoinToken: "t"}
			expect(t, upgrade(t.Context(), ticket, r.client), tc.state, tc.cause)
		})
	}
	r := serve(t, says(200, ""))
	expect(t, upgrade(t.Context(), client.Ticket{SignalEndpoint: "ws://127.0.0.1:1"}, r.client), Fail, "nobody answers at 127.0.0.1:1")
}
