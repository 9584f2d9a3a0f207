package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"
)

// Server answers HTTP. It is safe for concurrent use.
type Server struct {
	cfg       Config
	deps      Deps
	engine    *gin.Engine
	contract  []byte // openapi.json
	origins   []origin
	cluster   Cluster
	store     *store
	tokens    *userTokens
	callers   *limiter
	addresses *limiter
	testers   *limiter // addresses that test their connection
	tests     *testRooms
	hostKeys  *hostKeys
}

// New makes a Server and starts nothing. Handler works at once; what needs the store or the issuer's keys answers 503
// until Run has them.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("api: config: %w", err)
	}
	needsSignal := !deps.NoREST || !deps.NoSocket || deps.Cluster == nil
	if deps.Signal == nil && needsSignal || deps.Keys == nil || deps.Revoked == nil || deps.Bus == nil || deps.Locator == nil || deps.Log == nil {
		return nil, errors.New("api: a dependency is missing")
	}
	if deps.NoREST {
		deps.Web = nil
	}
	s := &Server{
		cfg: cfg, deps: deps, cluster: deps.Cluster,
		store:  &store{keepKeys: cfg.IdempotentFor},
		tokens: newUserTokens(cfg, deps.Log),
		tests:  newTestRooms(cfg.ConnectionTests.Rooms),
	}
	if s.cluster == nil {
		s.cluster = &alone{locator: deps.Locator, signal: deps.Signal}
	}
	if err := s.build(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return s, nil
}

func (s *Server) build() error {
	for _, text := range s.cfg.AllowedOrigins {
		o, err := parseOrigin(text)
		if err != nil {
			return err
		}
		s.origins = append(s.origins, o)
	}
	var faults [6]error
	s.contract, faults[0] = contractJSON()
	s.callers, faults[1] = newLimiter(s.cfg.CallerRate)
	s.addresses, faults[2] = newLimiter(s.cfg.AddressRate)
	s.hostKeys, faults[3] = newHostKeys()
	s.testers, faults[4] = newLimiter(s.cfg.ConnectionTests.Rate)
	s.engine, faults[5] = s.newEngine()
	return errors.Join(faults[:]...)
}

// Handler returns the whole HTTP surface of the node.
func (s *Server) Handler() http.Handler { return s.engine }

// Run opens the store, ends connection tests and keeps the issuer's keys fresh until ctx ends; then it returns nil.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	if !s.deps.NoREST {
		wg.Go(func() { s.store.open(ctx, s.deps.Bus, s.cfg.Timeouts.Store, s.deps.Log) })
		wg.Go(func() { s.endConnectionTests(ctx) })
	}
	if s.tokens.keys != nil {
		wg.Go(func() { s.tokens.keys.run(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}
