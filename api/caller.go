package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// The rights that a user token can carry. Others in a token are ignored.
const (
	rightCreate   = "meetings:create"
	rightRead     = "meetings:read"
	rightUpdate   = "meetings:update"
	rightEnd      = "meetings:end"
	rightDelete   = "meetings:delete"
	rightJoin     = "meetings:join"
	rightHost     = "meetings:host" // join as host
	rightModerate = "meetings:moderate"
	rightCluster  = "cluster:read"
	rightDrain    = "cluster:drain"
)

// HostKeyHeader carries a meeting's host key where no body does: it stands for every right that a host has in it.
const HostKeyHeader = "X-Host-Key"

// caller is who makes a request. The zero caller is a guest, who has shown no user token.
type caller struct {
	id      string // the subject with what vouches for it; unique
	subject string
	rights  []string
}

func (c caller) guest() bool { return c.id == "" }

func (c caller) has(right string) bool { return slices.Contains(c.rights, right) }

// person says whether the token speaks for one human who may be barred from a meeting, and not for a service that acts
// for many: whether it can do nothing but join.
func (c caller) person() bool {
	return !c.guest() && !slices.ContainsFunc(c.rights, func(r string) bool { return r != rightJoin && r != rightHost })
}

// need refuses a caller without any of the rights.
func (c caller) need(rights ...string) error {
	if slices.ContainsFunc(rights, c.has) {
		return nil
	}
	if c.guest() {
		return errUnauthenticated()
	}
	return fail(http.StatusForbidden, "forbidden", "The token lacks the right %s.", strings.Join(rights, " or "))
}

func errUnauthenticated() *failure {
	return fail(http.StatusUnauthorized, "unauthenticated", "This needs a user token: Authorization: Bearer.")
}

const callerKey = "parley.caller"

func callerOf(c *gin.Context) caller {
	v, _ := c.Get(callerKey)
	who, _ := v.(caller)
	return who
}

// authenticate finds out who calls. Without an Authorization header that is a guest; a bad token is never taken for one.
func (s *Server) authenticate(c *gin.Context) error {
	header := c.GetHeader("Authorization")
	if header == "" {
		return nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return errTokenInvalid("The Authorization header is not a bearer token.")
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	who, err := s.tokens.verify(ctx, strings.TrimSpace(token))
	if err != nil {
		return err
	}
	c.Set(callerKey, who)
	return s.limitCaller(who)
}

func errTokenInvalid(detail string) *failure {
	return fail(http.StatusUnauthorized, "token_invalid", "%s", detail)
}
