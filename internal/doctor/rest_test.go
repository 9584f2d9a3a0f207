package doctor

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// expect compares a finding with what it must name.
func expect(t *testing.T, f finding, state State, cause string) {
	t.Helper()
	if f.state != state || !strings.Contains(f.cause, cause) {
		t.Errorf("finding = %s %q (%s), want %s %q", f.state, f.cause, f.found, state, cause)
	}
}

// serve answers everything with one handler.
func serve(t *testing.T, handler http.HandlerFunc) rest {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return rest{base: s.URL, client: s.Client()}
}

// says is a handler that answers with a status and a body, a problem where it is JSON.
func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestLivenessNamesTheStatus(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		state  State
		cause  string
	}{
		{"well", says(200, `{"status":"ok"}`), OK, ""},
		{"a proxy without its server", says(502, "<html>Bad Gateway</html>"), Fail, "REST down: HTTP 502"},
		{"another server", says(404, `{"code":"not_found"}`), Fail, "REST down: HTTP 404 not_found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expect(t, serve(t, tc.answer).alive(t.Context()), tc.state, tc.cause)
		})
	}
	gone := serve(t, says(200, ""))
	gone.base = "http://127.0.0.1:1"
	expect(t, gone.alive(t.Context()), Fail, "REST down: connect: connection refused")
}

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	const body = `{"code":"not_ready","missing":[{"component":"bus","detail":"NATS does not answer."}]}`
	expect(t, serve(t, says(200, "{}")).ready(t.Context()), OK, "")
	expect(t, serve(t, says(503, body)).ready(t.Context()), Warn, "bus: NATS does not answer.")
	expect(t, serve(t, says(503, "")).ready(t.Context()), Fail, "REST down: /readyz answers HTTP 503")
}

func TestClock(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ahead time.Duration
		state State
		cause string
	}{
		{"right", 0, OK, ""},
		{"ahead", 20 * time.Second, Warn, "clock skew: this machine and the server are 2"},
		{"behind", -time.Hour - 30*time.Second, Fail, "clock skew: this machine and the server are 1h0m"}, // and 30 s, a second more or less
	} {
		t.Run(tc.name, func(t *testing.T) {
			date := time.Now().Add(tc.ahead).UTC().Format(http.TimeFormat)
			expect(t, serve(t, says(200, "{}", "Date", date)).clock(t.Context()), tc.state, tc.cause)
		})
	}
}

// tokenUntil is a token that says when it expires, and nothing that anybody could check.
func tokenUntil(at time.Time) string {
	return "x." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, at.Unix())) + ".x"
}

func TestWayInNamesTheStatus(t *testing.T) {
	expired, good := tokenUntil(time.Now().Add(-time.Hour)), tokenUntil(time.Now().Add(time.Hour))
	for _, tc := range []struct {
		name        string
		token, link string
		answer      http.HandlerFunc
		cause, hint string
	}{
		{"expired", expired, "", says(401, `{"code":"token_expired"}`), "token refused: HTTP 401 token_expired", "expired 1h0m"},
		{"the server's clock is ahead", good, "", says(401, `{"code":"token_expired"}`), "token refused: HTTP 401 token_expired", "clock is ahead"},
		{"wrong", "x.y.z", "", says(401, `{"code":"token_invalid"}`), "token refused: HTTP 401 token_invalid", "parley token"},
		{"no right", good, "", says(403, `{"code":"forbidden","detail":"It takes meetings:create."}`), "token refused: HTTP 403 forbidden", "meetings:create"},
		{"no store", good, "", says(503, `{"code":"store_unavailable","detail":"The store is away."}`), "REST down: HTTP 503 store_unavailable", "store is away"},
		{"a proxy", good, "", says(504, "<html>"), "REST down: HTTP 504", "proxy"},
		{"no such meeting", "", "/m/mtg_x", says(404, `{"code":"meeting_not_found"}`), "no such meeting: HTTP 404 meeting_not_found", "link"},
		{"over", "", "/m/mtg_x", says(410, `{"code":"meeting_ended"}`), "no such meeting: HTTP 410 meeting_ended", "link"},
		{"no meeting's link", "", "/x", says(200, ""), "the link leads to no meeting", "/m/mtg_"},
		{"no strangers", "", "", says(403, `{"code":"connection_tests_off"}`), "no way into a room: HTTP 403 connection_tests_off", "--token"},
		{"an older server", "", "", says(404, `{"code":"not_found"}`), "no way into a room: HTTP 404 not_found", "--token"},
		{"too often", "", "", says(429, `{"code":"rate_limited"}`, "Retry-After", "7"), "rate limited: HTTP 429 rate_limited", "7 s"},
		{"nonsense", "", "", says(201, "<html>"), "REST: the answer makes no sense", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := serve(t, tc.answer)
			r.token = tc.token
			f := r.enter(t.Context(), tc.link, &room{})
			expect(t, f, Fail, tc.cause)
			if !strings.Contains(f.hint, tc.hint) {
				t.Errorf("hint = %q, want %q", f.hint, tc.hint)
			}
		})
	}
}

// testServer answers as a node does who makes and joins meetings, and remembers the calls.
func testServer(calls *[]string) http.HandlerFunc {
	const ticket = `{"participant_id":"pt_1","join_token":"t","sfu_endpoint":"127.0.0.1:1","signal_endpoint":"ws://127.0.0.1:1"}`
	return func(w http.ResponseWriter, r *http.Request) {
		*calls = append(*calls, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Host-Key")))
		switch {
		case r.URL.Path == "/v1/meetings":
			says(201, `{"id":"mtg_1","host_key":"key"}`)(w, r)
		case strings.HasSuffix(r.URL.Path, "/join"):
			says(200, ticket)(w, r)
		case r.URL.Path == "/v1/connection-tests":
			says(201, `{"sender":`+ticket+`,"receiver":`+ticket+`}`)(w, r)
		}
	}
}

func TestWaysIn(t *testing.T) {
	for _, tc := range []struct {
		name, token, link string
		found             string
		calls             []string
	}{
		{"a stranger", "", "", "a room for tests", []string{"POST /v1/connection-tests"}},
		{"a link", "", "https://x/m/mtg_2/#host_key=k", "the meeting of the link", []string{"POST /v1/meetings/mtg_2/join", "POST /v1/meetings/mtg_2/join"}},
		{"a token", "t", "", "a meeting of its own", []string{
			"POST /v1/meetings", "POST /v1/meetings/mtg_1/join", "POST /v1/meetings/mtg_1/join", "POST /v1/meetings/mtg_1/end key",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var calls []string
			r := serve(t, testServer(&calls))
			r.token = tc.token
			var into room
			f := r.enter(t.Context(), tc.link, &into)
			if into.leave != nil {
				into.leave(t.Context())
			}
			if f.found != tc.found || into.sender.JoinToken == "" || into.receiver.JoinToken == "" {
				t.Errorf("finding = %+v, room = %+v", f, into)
			}
			if got := strings.Join(calls, ", "); got != strings.Join(tc.calls, ", ") {
				t.Errorf("calls = %s", got)
			}
		})
	}
}
