package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
)

// Server answers HTTP. It is safe for concurrent use once made.
type Server struct {
	cfg    Config
	deps   Deps
	engine *gin.Engine
}

// New makes a Server and starts nothing. Handler works at once; what needs NATS or the issuer's keys answers 503 until
// Run has them.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("api: config: %w", err)
	}
	if deps.Signal == nil || deps.Keys == nil || deps.Revoked == nil || deps.Bus == nil || deps.Locator == nil || deps.Log == nil {
		return nil, errors.New("api: a dependency is missing")
	}
	return &Server{cfg: cfg, deps: deps, engine: gin.New()}, nil
}

// Handler returns the whole HTTP surface of the node.
func (s *Server) Handler() http.Handler { return s.engine }

// Run keeps the buckets open and the issuer's keys fresh until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
