package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// statusView is the answer of a health page when all is well.
type statusView struct {
	Status string `json:"status"`
}

// livez says that the process answers. It asks nothing else, so that no outage elsewhere makes anybody restart it.
func (s *Server) livez(c *gin.Context) error {
	c.Header("Cache-Control", "no-store")
	// Pages of other nodes measure the way to this region by it.
	c.Header("Access-Control-Allow-Origin", "*")
	c.Header("Timing-Allow-Origin", "*")
	c.JSON(http.StatusOK, statusView{Status: "ok"})
	return nil
}

// readyz says whether the node should be sent new work, and what it is missing. A draining node should not: its answer
// makes load balancers look elsewhere.
func (s *Server) readyz(c *gin.Context) error {
	c.Header("Cache-Control", "no-store")
	var missing []Missing
	if _, err := s.store.buckets(); err != nil && !s.deps.NoREST {
		missing = append(missing, Missing{Component: "store", Detail: "The meetings' store was not opened yet."})
	}
	if s.deps.Ready != nil {
		missing = append(missing, s.deps.Ready()...)
	}
	if s.self().Draining {
		missing = append(missing, Missing{Component: "draining", Detail: "The node was told to take nothing new; undrain lets it again."})
	}
	if len(missing) == 0 {
		c.JSON(http.StatusOK, statusView{Status: "ok"})
		return nil
	}
	f := fail(http.StatusServiceUnavailable, "not_ready", "The node is not ready; see missing.").after(time.Second)
	f.missing = missing
	return f
}

// regionsView is every region.
type regionsView struct {
	Regions []Region `json:"regions"`
}

// regions is GET /v1/regions. It needs no token: guests measure too.
func (s *Server) regions(c *gin.Context) error {
	regions := s.deps.Locator.Regions()
	if regions == nil {
		regions = []Region{}
	}
	c.JSON(http.StatusOK, regionsView{Regions: regions})
	return nil
}

// jwks is GET /.well-known/jwks.json: the public keys of join tokens (RFC 7517).
func (s *Server) jwks(c *gin.Context) error {
	c.Header("Cache-Control", "public, max-age=60")
	c.Data(http.StatusOK, "application/jwk-set+json", s.deps.Keys.JWKS())
	return nil
}
