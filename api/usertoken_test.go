package api

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// idp is an identity provider on a real port.
type idp struct {
	t       testing.TB
	url     string
	rsa     *rsa.PrivateKey
	ecdsa   *ecdsa.PrivateKey
	fetches atomic.Int64

	mu   sync.Mutex // protects following
	keys jwk.Set
	down bool
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	p := &idp{t: t, keys: jwk.NewSet()}
	var err error
	if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if p.ecdsa, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	p.publish("rsa", p.rsa.Public(), "")
	p.publish("ec", p.ecdsa.Public(), jwa.ES256)
	p.publish("shared", []byte("a secret that nobody should publish, ever"), "")
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *idp) publish(kid string, public any, alg jwa.SignatureAlgorithm) {
	p.t.Helper()
	key, err := jwk.FromRaw(public)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := key.Set(jwk.KeyIDKey, kid); err != nil {
		p.t.Fatal(err)
	}
	if alg != "" {
		if err := key.Set(jwk.AlgorithmKey, alg); err != nil {
			p.t.Fatal(err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.keys.AddKey(key); err != nil {
		p.t.Fatal(err)
	}
}

func (p *idp) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.fetches.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if err := json.MarshalWrite(w, p.keys); err != nil {
		p.t.Error(err)
	}
}

func (p *idp) use(cfg *Config, _ *Deps) {
	cfg.Issuer = Issuer{URL: p.url, JWKSURL: p.url + "/keys", Audience: "parley", Algorithms: []string{"ES256", "RS256", "EdDSA"}}
}

// claims are good ones, with changes; a nil value takes a claim out.
func (p *idp) claims(changes object) object {
	c := object{
		"iss": p.url, "aud": "parley", "sub": "eve", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "rights": "meetings:read meetings:join",
	}
	for name, value := range changes {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// forge makes a compact JWS by hand: any header, and whatever sign makes of it.
func forge(t testing.TB, header, claims object, sign func(input []byte) []byte) string {
	t.Helper()
	var parts [2]string
	for i, o := range []object{header, claims} {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(raw)
	}
	input := parts[0] + "." + parts[1]
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func hs256(key []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(input)
		return mac.Sum(nil)
	}
}

func unsigned([]byte) []byte { return nil }

func TestUserTokens(t *testing.T) {
	p := newIDP(t)
	r := newRig(t, p.use)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(p.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := object{"sub": "eve", "exp": time.Now().Add(time.Hour).Unix(), "rights": []string{rightRead}}
	byKey := func(claims object) string {
		return sign(t, jwa.HS256, []byte(testSecret), object{"kid": testKeyID}, claims)
	}
	byIDP := func(changes object) string { return sign(t, jwa.RS256, p.rsa, object{"kid": "rsa"}, p.claims(changes)) }
	for _, tc := range []struct {
		name  string
		token string
		code  string // empty: the token is good
	}{
		{"API key", byKey(good), ""},
		{"rights in one string", byKey(object{"sub": "a", "exp": good["exp"], "rights": "meetings:join meetings:read"}), ""},
		{"issuer, RSA", byIDP(nil), ""},
		{"issuer, ECDSA", sign(t, jwa.ES256, p.ecdsa, object{"kid": "ec"}, p.claims(nil)), ""},
		{"access token type", sign(t, jwa.RS256, p.rsa, object{"kid": "rsa", "typ": "at+JWT"}, p.claims(nil)), ""},
		{"one of several audiences", byIDP(object{"aud": []string{"other", "parley"}}), ""},

		{"alg none", forge(t, object{"alg": "none", "kid": "rsa"}, p.claims(nil), unsigned), "token_invalid"},
		{"alg none of an API key", forge(t, object{"alg": "none", "kid": testKeyID}, good, unsigned), "token_invalid"},
		{"alg None", forge(t, object{"alg": "None", "kid": "rsa"}, p.claims(nil), unsigned), "token_invalid"},
		{"no alg", forge(t, object{"kid": "rsa"}, p.claims(nil), unsigned), "token_invalid"},
		{"HS256 with the public key, PEM", forge(t, object{"alg": "HS256", "kid": "rsa"}, p.claims(nil), hs256(publicPEM)), "token_invalid"},
		{"HS256 with the public key, DER", forge(t, object{"alg": "HS256", "kid": "rsa"}, p.claims(nil), hs256(der)), "token_invalid"},
		{"HS256 with a published secret", forge(t, object{"alg": "HS256", "kid": "shared"}, p.claims(nil), hs256([]byte("a secret that nobody should publish, ever"))), "token_invalid"},
		{"HS256 with an empty secret", forge(t, object{"alg": "HS256", "kid": ""}, good, hs256(nil)), "token_invalid"},
		{"HS512 with the right secret", sign(t, jwa.HS512, []byte(testSecret), object{"kid": testKeyID}, good), "token_invalid"},
		{"algorithm of another key", sign(t, jwa.RS256, p.rsa, object{"kid": "ec"}, p.claims(nil)), "token_invalid"},
		{"algorithm that is not allowed", sign(t, jwa.PS256, p.rsa, object{"kid": "rsa"}, p.claims(nil)), "token_invalid"},
		{"key in the header", sign(t, jwa.EdDSA, stranger, object{"kid": "rsa", "jwk": mustKey(t, stranger.Public())}, p.claims(nil)), "token_invalid"},
		{"stranger's key", sign(t, jwa.EdDSA, stranger, object{"kid": "rsa"}, p.claims(nil)), "token_invalid"},
		{"unknown kid", sign(t, jwa.RS256, p.rsa, object{"kid": "nobody's"}, p.claims(nil)), "token_invalid"},
		{"no kid", sign(t, jwa.RS256, p.rsa, object{}, p.claims(nil)), "token_invalid"},
		{"unknown API key", sign(t, jwa.HS256, []byte(testSecret), object{"kid": "other"}, good), "token_invalid"},
		{"wrong secret", sign(t, jwa.HS256, []byte(strings.ToUpper(testSecret)), object{"kid": testKeyID}, good), "token_invalid"},
		{"critical extension", forge(t, object{"alg": "HS256", "kid": testKeyID, "crit": []string{"x"}, "x": 1}, good, hs256([]byte(testSecret))), "token_invalid"},
		{"join token's type", forge(t, object{"alg": "HS256", "kid": testKeyID, "typ": "parley-join+jwt"}, good, hs256([]byte(testSecret))), "token_invalid"},

		{"wrong issuer", byIDP(object{"iss": "http://evil.example"}), "token_invalid"},
		{"no issuer", byIDP(object{"iss": nil}), "token_invalid"},
		{"wrong audience", byIDP(object{"aud": "other"}), "token_invalid"},
		{"no audience", byIDP(object{"aud": nil}), "token_invalid"},
		{"expired", byIDP(object{"exp": time.Now().Add(-time.Second).Unix()}), "token_expired"},
		{"no exp", byIDP(object{"exp": nil}), "token_invalid"},
		{"no exp, API key", byKey(object{"sub": "a", "rights": good["rights"]}), "token_invalid"},
		{"exp in a year", byIDP(object{"exp": time.Now().Add(365 * 24 * time.Hour).Unix()}), "token_invalid"},
		{"not yet", byIDP(object{"nbf": time.Now().Add(time.Hour).Unix()}), "token_invalid"},
		{"issued tomorrow", byIDP(object{"iat": time.Now().Add(2 * time.Hour).Unix()}), "token_invalid"},
		{"no subject", byIDP(object{"sub": nil}), "token_invalid"},
		{"long subject", byIDP(object{"sub": strings.Repeat("x", 300)}), "token_invalid"},
		{"rights are a number", byIDP(object{"rights": 7}), "token_invalid"},
		{"rights are numbers", byIDP(object{"rights": []int{7}}), "token_invalid"},
		{"no rights", byIDP(object{"rights": nil}), "forbidden"},

		{"empty", "", "token_invalid"},
		{"two parts", "a.b", "token_invalid"},
		{"four parts", byKey(good) + ".x", "token_invalid"},
		{"JSON", `{"payload":"","signatures":[]}`, "token_invalid"},
		{"long", strings.Repeat("x", maxTokenBytes+1), "token_invalid"},
		{"tampered", byKey(good)[:60] + "AAAA" + byKey(good)[64:], "token_invalid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			got := r.get("/v1/meetings", bearer(tc.token))
			switch tc.code {
			case "":
				got.want(http.StatusOK)
			case "forbidden":
				got.wantProblem(http.StatusForbidden, tc.code)
			default:
				got.wantProblem(http.StatusUnauthorized, tc.code)
				if want := `Bearer realm="parley", error="invalid_token"`; got.header.Get("WWW-Authenticate") != want {
					t.Errorf("WWW-Authenticate = %s, want %s", got.header.Get("WWW-Authenticate"), want)
				}
			}
		})
	}
	r.get("/v1/meetings", header("Authorization", "Basic YTpi")).wantProblem(http.StatusUnauthorized, "token_invalid")
}

func mustKey(t testing.TB, public any) jwk.Key {
	t.Helper()
	key, err := jwk.FromRaw(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A bad token is never as good as none.
func TestBadTokenIsNoGuest(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	r.join(m.ID, nil)
	r.post("/v1/meetings/"+m.ID+"/join", nil, bearer("nonsense")).wantProblem(http.StatusUnauthorized, "token_invalid")
}

func TestUnknownKeysAreFetchedOnce(t *testing.T) {
	p := newIDP(t)
	r := newRig(t, p.use)
	token := func(kid string) string { return sign(t, jwa.RS256, p.rsa, object{"kid": kid}, p.claims(nil)) }
	r.get("/v1/meetings", bearer(token("rsa"))).want(http.StatusOK)
	before := p.fetches.Load()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			r.get("/v1/meetings", bearer(token("new"))).wantProblem(http.StatusUnauthorized, "token_invalid")
		})
	}
	wg.Wait()
	if got := p.fetches.Load(); got != before {
		t.Errorf("fetches = %d more, want none so soon", got-before)
	}

	p.publish("new", p.rsa.Public(), "")
	keys := r.server.tokens.keys
	keys.mu.Lock()
	keys.tried = keys.tried.Add(-askAgain) // as if that long had passed
	keys.mu.Unlock()
	for range 20 {
		wg.Go(func() { r.get("/v1/meetings", bearer(token("new"))).want(http.StatusOK) })
	}
	wg.Wait()
	if got := p.fetches.Load(); got != before+1 {
		t.Errorf("fetches = %d more, want 1", got-before)
	}
}

func TestIssuerAway(t *testing.T) {
	p := newIDP(t)
	p.down = true
	r := newRig(t, p.use)
	token := sign(t, jwa.RS256, p.rsa, object{"kid": "rsa"}, p.claims(nil))
	got := r.get("/v1/meetings", bearer(token))
	got.wantProblem(http.StatusServiceUnavailable, "issuer_unavailable")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	r.get("/v1/meetings", bearer(r.token(rightRead))).want(http.StatusOK)
}

func TestUsableKeys(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       int
		ok         bool
	}{
		{"none", `{"keys":[]}`, 0, true},
		{"no set", `[]`, 0, false},
		{"broken", `{`, 0, false},
		{"shared secret", `{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}`, 0, true},
		{"for encryption", `{"keys":[{"kty":"OKP","kid":"a","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, 0, true},
		{"without id", `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, 0, true},
		{"good", `{"keys":[{"kty":"OKP","kid":"a","crv":"Ed25519","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keys, err := usableKeys([]byte(tc.body))
			if len(keys) != tc.want || (err == nil) != tc.ok {
				t.Errorf("keys = %d, %v; want %d, ok %v", len(keys), err, tc.want, tc.ok)
			}
		})
	}
}

func FuzzUserToken(f *testing.F) {
	tokens := newUserTokens(Config{APIKeys: []APIKey{{ID: testKeyID, Secret: testSecret}}, TokenLifetime: time.Hour}, nil)
	claims := object{"sub": "a", "exp": time.Now().Add(time.Minute).Unix(), "rights": []string{rightRead}}
	f.Add(sign(f, jwa.HS256, []byte(testSecret), object{"kid": testKeyID}, claims))
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := tokens.verify(t.Context(), token); err == nil && who.subject != "a" {
			t.Errorf("%q is a token of %q", token, who.subject)
		}
	})
}
