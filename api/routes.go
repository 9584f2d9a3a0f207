package api

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
)

const signalPath = "/v1/signal"

// newEngine is the whole surface on one page.
func (s *Server) newEngine() (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	if err := e.SetTrustedProxies(s.cfg.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	e.Use(identify, s.observe, s.rescue, s.harden, s.checkHost, s.cors)
	e.NoRoute(handler(s.fallback).gin())
	e.NoMethod(handler(wrongMethod).gin())

	read(e, "/livez", s.livez)
	read(e, "/readyz", s.readyz)
	read(e, "/openapi.json", s.openapi)
	read(e, "/.well-known/jwks.json", s.jwks)
	if s.deps.Metrics != nil {
		e.GET("/metrics", gin.WrapH(s.deps.Metrics))
	}

	limited := e.Group("", s.first(s.limitAddress))
	if !s.deps.NoSocket {
		limited.GET(signalPath, s.first(needUpgrade), gin.WrapH(s.deps.Signal))
	}
	if !s.deps.NoREST {
		read(limited, "/v1/regions", s.regions)
		limited.POST("/v1/connection-tests", handler(s.startConnectionTest).gin())
		s.meetingRoutes(limited.Group("/v1/meetings", s.first(s.authenticate)))
	}
	s.clusterRoutes(limited.Group("/v1/cluster", s.first(s.authenticate)))
	return e, nil
}

func (s *Server) meetingRoutes(g *gin.RouterGroup) {
	g.POST("", handler(s.createMeeting).gin())
	read(g, "", s.listMeetings)
	read(g, "/:id", s.readMeeting)
	g.PATCH("/:id", handler(s.changeMeeting).gin())
	g.DELETE("/:id", handler(s.deleteMeeting).gin())
	g.POST("/:id/join", handler(s.joinMeeting).gin())
	g.POST("/:id/end", handler(s.endMeeting).gin())
	g.POST("/:id/lock", s.setLocked(true).gin())
	g.POST("/:id/unlock", s.setLocked(false).gin())
	read(g, "/:id/participants", s.listParticipants)
	g.POST("/:id/participants/:pid/admit", s.moderate(s.deps.Signal.Admit).gin())
	g.POST("/:id/participants/:pid/deny", s.moderate(s.deps.Signal.Deny).gin())
	g.POST("/:id/participants/:pid/remove", s.moderate(s.deps.Signal.Remove).gin())
	g.POST("/:id/participants/:pid/mute", handler(s.mute).gin())
}

func (s *Server) clusterRoutes(g *gin.RouterGroup) {
	read(g, "/nodes", s.clusterNodes)
	read(g, "/nodes/:id", s.clusterNode)
	read(g, "/rooms", s.clusterRooms)
	read(g, "/links", s.clusterLinks)
	g.POST("/nodes/:id/drain", s.setDraining(true).gin())
	g.POST("/nodes/:id/undrain", s.setDraining(false).gin())
}

// read answers GET, and HEAD with the same but its body, which net/http leaves out (RFC 9110 section 9.3.2).
func read(r gin.IRoutes, path string, h handler) {
	r.GET(path, h.gin())
	r.HEAD(path, h.gin())
}

// needUpgrade tells apart those who come to the socket by mistake; those who do not are answered by Signal.
func needUpgrade(c *gin.Context) error {
	if c.IsWebsocket() {
		return nil
	}
	c.Header("Upgrade", "websocket")
	return fail(http.StatusUpgradeRequired, "upgrade_required", "This is a WebSocket: connect with the join token over HTTP/1.1.")
}

// first makes a step that must succeed before the handler runs.
func (s *Server) first(step handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := step(c); err != nil {
			writeProblem(c, err)
		}
	}
}
