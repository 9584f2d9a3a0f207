package signal

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// refusedUpgrade tries to connect with these headers, and returns the status and the code of the problem.
func (r *rig) refusedUpgrade(headers map[string]string) (status int, code string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.server.URL, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": base64.StdEncoding.EncodeToString(make([]byte, 16)),
	} {
		req.Header.Set(name, value)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := r.server.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.StatusCode, ""
	}
	var p problem
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Status != res.StatusCode ||
		res.Header.Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("the refusal is no problem: %v, %+v, %v", err, p, res.Header)
	}
	return res.StatusCode, p.Code
}

func TestUpgradeFromABrowser(t *testing.T) {
	r := newRig(t)
	token := r.token(claims("pt_a", grant.Attendee, grant.Settings{}))
	conn, res, err := websocket.Dial(context.Background(), r.server.URL, &websocket.DialOptions{ //nolint:bodyclose // it is the connection
		HTTPHeader:   http.Header{"Origin": {"http://localhost:5173"}},
		Subprotocols: []string{wire.Subprotocol, wire.BearerProtocol + token},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Values("Sec-WebSocket-Protocol"); len(got) != 1 || got[0] != wire.Subprotocol {
		t.Errorf("echoed %q", got)
	}
	c := newClient(t, conn)
	c.hello("pt_a", "")
	c.await(wire.TypeSnapshot)
}

func TestRefusedUpgrades(t *testing.T) {
	r := newRig(t)
	stranger := newRig(t) // another cluster's keys
	good := claims("pt_a", grant.Attendee, grant.Settings{})
	token := r.token(good)
	parts := strings.Split(token, ".")
	auth := func(token string) map[string]string { return map[string]string{"Authorization": "Bearer " + token} }
	for _, tc := range []struct {
		name    string
		headers map[string]string
		status  int
		code    string
	}{
		{"no token", nil, 401, wire.CodeTokenInvalid},
		{"garbage", auth("x.y.z"), 401, wire.CodeTokenInvalid},
		{"another scheme", map[string]string{"Authorization": "Basic " + token}, 401, wire.CodeTokenInvalid},
		{"another cluster's", auth(stranger.token(good)), 401, wire.CodeTokenInvalid},
		{"alg none", auth(encodePart(`{"alg":"none","typ":"parley-join+jwt"}`) + "." + parts[1] + "."), 401, wire.CodeTokenInvalid},
		{"HS256 with the public key", auth(forged(r.keys.JWKS(), parts)), 401, wire.CodeTokenInvalid},
		{"changed claims", auth(parts[0] + "." + encodePart(`{"meetingId":"mtg_2"}`) + "." + parts[2]), 401, wire.CodeTokenInvalid},
		{"empty bearer protocol", map[string]string{"Sec-WebSocket-Protocol": "parley.v1, bearer."}, 401, wire.CodeTokenInvalid},
		{"a strange origin", map[string]string{"Authorization": "Bearer " + token, "Origin": "https://evil.example"}, 403, wire.CodeDenied},
		{"an origin that begins well", map[string]string{"Authorization": "Bearer " + token, "Origin": "http://localhost:5173.evil.example"}, 403, wire.CodeDenied},
		{"null origin", map[string]string{"Authorization": "Bearer " + token, "Origin": "null"}, 403, wire.CodeDenied},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if status, code := r.refusedUpgrade(tc.headers); status != tc.status || code != tc.code {
				t.Errorf("answered %d %s, want %d %s", status, code, tc.status, tc.code)
			}
		})
	}
	if status, _ := r.refusedUpgrade(auth(token)); status != http.StatusSwitchingProtocols {
		t.Errorf("the good token is answered %d", status)
	}
}

func TestExpiredTokenIsNamed(t *testing.T) {
	r := newRig(t, func(_ *Config, d *Deps) { d.Keys = expiredKeys{} })
	if status, code := r.refusedUpgrade(map[string]string{"Authorization": "Bearer x"}); status != 401 || code != wire.CodeTokenExpired {
		t.Errorf("answered %d %s", status, code)
	}
}

// expiredKeys finds every join token expired.
type expiredKeys struct{ *grant.Keyring }

func (expiredKeys) VerifyJoin(string) (grant.Claims, error) {
	return grant.Claims{}, fmt.Errorf("join token: %w", grant.ErrTokenExpired)
}

func (expiredKeys) VerifyResume(string) (grant.Claims, error) {
	return grant.Claims{}, grant.ErrTokenInvalid
}

func encodePart(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forged signs the token's claims with the public key as an HMAC secret.
func forged(jwks []byte, parts []string) string {
	var set struct {
		Keys []struct {
			KID string `json:"kid"`
			X   string `json:"x"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil || len(set.Keys) == 0 {
		return ""
	}
	secret, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	if err != nil {
		return ""
	}
	signed := encodePart(`{"alg":"HS256","typ":"parley-join+jwt","kid":"`+set.Keys[0].KID+`"}`) + "." + parts[1]
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestHelloForSomebodyElse(t *testing.T) {
	r := newRig(t)
	a := r.connect(r.token(claims("pt_a", grant.Attendee, grant.Settings{})))
	a.hello("pt_host", "")
	before := a.closedWith(wire.CloseDenied)
	a.isError(wire.CodeDenied, before[0])
}

func TestConfigNamesEveryFault(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Errorf("the defaults are at fault: %v", err)
	}
	err := Config{Origins: []string{"localhost", "https://a.example/path"}}.Validate()
	for _, want := range []string{`"localhost"`, `"https://a.example/path"`, "grace", "queue_bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestOrigins(t *testing.T) {
	cfg := Config{Origins: append(LoopbackOrigins(), "https://meet.example")}
	for origin, want := range map[string]bool{
		"":                              true, // no browser
		"https://meet.example":          true,
		"HTTPS://Meet.Example":          true,
		"https://meet.example:8443":     false,
		"http://meet.example":           false,
		"https://meet.example.evil.com": false,
		"http://127.0.0.1:7880":         true,
		"http://[::1]:1":                true,
		"http://127.0.0.1":              false,
		"http://127.0.0.1:80@evil.com":  false,
		"http://localhost:":             false,
		"null":                          false,
	} {
		if got := cfg.originAllowed(origin); got != want {
			t.Errorf("originAllowed(%q) = %t", origin, got)
		}
	}
}
