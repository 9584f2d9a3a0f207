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

	e.GET("/livez", handler(s.livez).gin())
	e.GET("/readyz", handler(s.readyz).gin())
	e.GET("/openapi.json", handler(s.openapi).gin())
	e.GET("/.well-known/jwks.json", handler(s.jwks).gin())
	if s.deps.Metrics != nil {
		e.GET("/metrics", gin.WrapH(s.deps.Metrics))
	}

	limited := e.Group("", s.first(s.limitAddress))
	limited.GET(signalPath, s.first(needUpgrade), gin.WrapH(s.deps.Signal))
	limited.GET("/v1/regions", handler(s.regions).gin())
	s.meetingRoutes(limited.Group("/v1/meetings", s.first(s.authenticate)))
	return e, nil
}

func (s *Server) meetingRoutes(g *gin.RouterGroup) {
	g.POST("", handler(s.createMeeting).gin())
	g.GET("", handler(s.listMeetings).gin())
	g.GET("/:id", handler(s.readMeeting).gin())
	g.PATCH("/:id", handler(s.changeMeeting).gin())
	g.DELETE("/:id", handler(s.deleteMeeting).gin())
	g.POST("/:id/join", handler(s.joinMeeting).gin())
	g.POST("/:id/end", handler(s.endMeeting).gin())
	g.POST("/:id/lock", s.setLocked(true).gin())
	g.POST("/:id/unlock", s.setLocked(false).gin())
	g.GET("/:id/participants", handler(s.listParticipants).gin())
	g.POST("/:id/participants/:pid/admit", s.moderate(s.deps.Signal.Admit).gin())
	g.POST("/:id/participants/:pid/deny", s.moderate(s.deps.Signal.Deny).gin())
	g.POST("/:id/participants/:pid/remove", s.moderate(s.deps.Signal.Remove).gin())
	g.POST("/:id/participants/:pid/mute", handler(s.mute).gin())
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
