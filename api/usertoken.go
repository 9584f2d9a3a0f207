package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// The bounds of user tokens.
const (
	maxTokenBytes   = 8 << 10
	maxSubjectBytes = 256
	clockSkew       = 30 * time.Second // forgiven to iat and nbf, not to exp
)

// userTokens verifies user tokens (RFC 7519, with the advice of RFC 8725): a token names its key, the key decides which
// algorithms are good, and secrets and public keys are looked for in different places, so that one is never taken for
// the other.
type userTokens struct {
	issuer   Issuer
	lifetime time.Duration
	secrets  map[string][]byte // HS256, by key id
	keys     *issuerKeys
}

func newUserTokens(cfg Config, log *slog.Logger) *userTokens {
	t := &userTokens{issuer: cfg.Issuer, lifetime: cfg.TokenLifetime, secrets: map[string][]byte{}}
	for _, k := range cfg.APIKeys {
		t.secrets[k.ID] = []byte(k.Secret)
	}
	if cfg.Issuer.URL != "" {
		t.keys = newIssuerKeys(cfg.Issuer.JWKSURL, log)
	}
	return t
}

// verify returns whom the token speaks for. It waits for nothing but the issuer's keys, and for those only when the
// token names one that is not known yet.
func (t *userTokens) verify(ctx context.Context, token string) (caller, error) {
	header, err := parseHeader(token)
	if err != nil {
		return caller{}, err
	}
	alg, kid := header.Algorithm(), header.KeyID()
	key, voucher, err := t.key(ctx, alg, kid)
	if err != nil {
		return caller{}, err
	}
	payload, err := jws.Verify([]byte(token), jws.WithKey(alg, key))
	if err != nil {
		return caller{}, errTokenInvalid("The token's signature is wrong.").because(err)
	}
	claims, err := jwt.Parse(payload, jwt.WithVerify(false), jwt.WithValidate(false))
	if err != nil {
		return caller{}, errTokenInvalid("The token's claims cannot be read.").because(err)
	}
	if err := t.checkClaims(claims, alg, time.Now()); err != nil {
		return caller{}, err
	}
	rights, err := rightsOf(claims)
	if err != nil {
		return caller{}, errTokenInvalid("The token's rights are neither a list of words nor words in one string.").because(err)
	}
	return caller{id: voucher + "/" + claims.Subject(), subject: claims.Subject(), rights: rights}, nil
}

// parseHeader reads the protected header of a compact JWS and refuses what no user token has: critical extensions
// (RFC 7515 section 4.1.11) and the type of another kind of token (RFC 8725 section 3.11).
func parseHeader(token string) (jws.Headers, error) {
	if len(token) > maxTokenBytes {
		return nil, errTokenInvalid("The token is too long.")
	}
	msg, err := jws.Parse([]byte(token), jws.WithCompact())
	if err != nil || len(msg.Signatures()) != 1 {
		return nil, errTokenInvalid("The token is not a signed JWT in compact form.").because(err)
	}
	header := msg.Signatures()[0].ProtectedHeaders()
	if len(header.Critical()) > 0 {
		return nil, errTokenInvalid("The token has critical extensions.")
	}
	if typ := strings.ToLower(header.Type()); typ != "" && typ != "jwt" && typ != "at+jwt" {
		return nil, errTokenInvalid("The token is not a user token.")
	}
	return header, nil
}

// key returns what verifies a signature by alg and kid, and the name of who vouches for the token.
func (t *userTokens) key(ctx context.Context, alg jwa.SignatureAlgorithm, kid string) (key any, voucher string, err error) {
	if alg == jwa.HS256 {
		if secret, ok := t.secrets[kid]; ok {
			return secret, "key:" + kid, nil
		}
		return nil, "", errTokenInvalid("The token names no API key of this cluster.")
	}
	if t.keys == nil || !slices.Contains(t.issuer.Algorithms, alg.String()) {
		return nil, "", errTokenInvalid("The token is signed with an algorithm that is not allowed.")
	}
	k, err := t.keys.find(ctx, kid)
	if err != nil {
		return nil, "", err
	}
	if a := k.Algorithm().String(); a != "" && a != alg.String() {
		return nil, "", errTokenInvalid("The token's key is for another algorithm.")
	}
	return k, t.issuer.URL, nil
}

func (t *userTokens) checkClaims(claims jwt.Token, alg jwa.SignatureAlgorithm, now time.Time) error {
	if alg != jwa.HS256 {
		if claims.Issuer() != t.issuer.URL {
			return errTokenInvalid("The token is of another issuer.")
		}
		if t.issuer.Audience != "" && !slices.Contains(claims.Audience(), t.issuer.Audience) {
			return errTokenInvalid("The token is for another audience.")
		}
	}
	if sub := claims.Subject(); sub == "" || len(sub) > maxSubjectBytes {
		return errTokenInvalid("The token has no subject, or one that is too long.")
	}
	return t.checkTimes(claims, now)
}

func (t *userTokens) checkTimes(claims jwt.Token, now time.Time) error {
	exp := claims.Expiration()
	switch {
	case exp.IsZero():
		return errTokenInvalid("The token never expires.")
	case !now.Before(exp):
		return fail(http.StatusUnauthorized, "token_expired", "The token has expired.")
	case exp.Sub(now) > t.lifetime+clockSkew:
		return errTokenInvalid(fmt.Sprintf("The token expires later than %s from now.", t.lifetime))
	case claims.NotBefore().After(now.Add(clockSkew)), claims.IssuedAt().After(now.Add(clockSkew)):
		return errTokenInvalid("The token is not valid yet.")
	}
	return nil
}

// rightsOf reads the claim rights: a list of words, or words in one string as OAuth's scope has them.
func rightsOf(claims jwt.Token) ([]string, error) {
	raw, ok := claims.Get("rights")
	if !ok {
		return nil, nil
	}
	switch v := raw.(type) {
	case string:
		return strings.Fields(v), nil
	case []any:
		rights := make([]string, 0, len(v))
		for _, item := range v {
			right, ok := item.(string)
			if !ok {
				return nil, errors.New("a right is not a string")
			}
			rights = append(rights, right)
		}
		return rights, nil
	}
	return nil, fmt.Errorf("rights are a %T", raw)
}
