package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node/grant"
)

// The bounds of what a client says about where it is.
const (
	maxRegionRunes = 64
	maxRTTs        = 64
	maxRTTMillis   = 60_000
)

// joinInput is the body of join.
type joinInput struct {
	DisplayName optional[string]             `json:"display_name"`
	Role        optional[string]             `json:"role"`
	HostKey     optional[string]             `json:"host_key"`
	Region      optional[string]             `json:"region"`
	RegionRTTs  optional[map[string]float64] `json:"region_rtts"`
}

// joinView is what a client needs to connect.
type joinView struct {
	Title          string      `json:"title"` // of the meeting
	ParticipantID  string      `json:"participant_id"`
	JoinToken      string      `json:"join_token"`
	ExpiresAt      time.Time   `json:"expires_at"`
	Role           grant.Role  `json:"role"`
	Region         string      `json:"region"`
	SFUEndpoint    string      `json:"sfu_endpoint"`
	SignalEndpoint string      `json:"signal_endpoint"`
	Alternates     []alternate `json:"alternates"`
	ICEServers     []ICEServer `json:"ice_servers"`
}

// alternate is a node to try when the one before it does not answer.
type alternate struct {
	Region         string `json:"region"`
	SFUEndpoint    string `json:"sfu_endpoint"`
	SignalEndpoint string `json:"signal_endpoint"`
}

// joinMeeting is POST /v1/meetings/{id}/join. It reads the meeting from the store once at most; all else is in memory.
func (s *Server) joinMeeting(c *gin.Context) error {
	var in joinInput
	if _, err := s.decode(c, &in, true); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	m, err := s.store.recentMeeting(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if m.ended() {
		return errMeetingEnded()
	}
	role, err := s.roleFor(c, m, &in)
	if err != nil {
		return err
	}
	view, err := s.admit(ctx, c, m, role, &in)
	if err != nil {
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, view)
	return nil
}

// check says all that is wrong with the body.
func (in *joinInput) check() error {
	var faults []Fault
	in.DisplayName.value = strings.TrimSpace(in.DisplayName.value)
	faults = appendTextFault(faults, "#/display_name", in.DisplayName.value, 0, maxNameRunes)
	faults = appendTextFault(faults, "#/region", in.Region.value, 0, maxRegionRunes)
	roles := []string{string(grant.Host), string(grant.Attendee), string(grant.Viewer)}
	if in.Role.set && !slices.Contains(roles, in.Role.value) {
		faults = append(faults, Fault{Pointer: "#/role", Detail: "must be one of " + strings.Join(roles, ", ")})
	}
	if len(in.RegionRTTs.value) > maxRTTs {
		faults = append(faults, Fault{Pointer: "#/region_rtts", Detail: fmt.Sprintf("must have at most %d regions", maxRTTs)})
		return invalid(faults)
	}
	for _, region := range slices.Sorted(maps.Keys(in.RegionRTTs.value)) {
		faults = appendTextFault(faults, "#/region_rtts", region, 1, maxRegionRunes)
		if rtt := in.RegionRTTs.value[region]; rtt < 0 || rtt > maxRTTMillis {
			faults = append(faults, Fault{Pointer: "#/region_rtts", Detail: fmt.Sprintf("must have values between 0 and %d", maxRTTMillis)})
		}
	}
	return invalid(faults)
}

// roleFor decides whether the caller may join and as what. A right host key opens every role, and makes a host of who
// asks for none.
func (s *Server) roleFor(c *gin.Context, m *meeting, in *joinInput) (grant.Role, error) {
	who, role := callerOf(c), grant.Role(in.Role.value)
	if in.HostKey.set {
		if role == "" {
			role = grant.Host
		}
		return role, s.hostKeys.check(m, in.HostKey.value, addressKey(remoteIP(c)), time.Now())
	}
	if role == "" {
		role = grant.Attendee
	}
	if role == grant.Host {
		if who.has(rightHost) {
			return role, nil
		}
		return "", fail(http.StatusForbidden, "host_key_required", "To join as host takes the meeting's host key, or the right %s.", rightHost)
	}
	if m.Settings.Guests {
		return role, nil
	}
	return role, who.need(rightJoin, rightHost)
}

// admit issues the token.
func (s *Server) admit(ctx context.Context, c *gin.Context, m *meeting, role grant.Role, in *joinInput) (*joinView, error) {
	nodes, err := s.deps.Locator.Candidates(ctx, JoinRequest{
		Room: m.ID, Region: in.Region.value, RegionRTTs: in.RegionRTTs.value, RemoteIP: remoteIP(c),
	})
	if err != nil || len(nodes) == 0 {
		return nil, fail(http.StatusServiceUnavailable, "no_node", "No node can take the participant now.").after(time.Second).because(err)
	}
	claims := grant.Claims{
		MeetingID: m.ID, ParticipantID: newID(participantPrefix), DisplayName: in.DisplayName.value, Role: role,
		Region: nodes[0].Region, Nodes: nodes, Settings: m.granted(), RequestID: telemetry.RequestID(c.Request.Context()),
		IssuedAt: time.Now(),
	}
	if err := s.bar(&claims, callerOf(c)); err != nil {
		return nil, err
	}
	token, expires, err := s.deps.Keys.IssueJoin(claims)
	if err != nil {
		return nil, fmt.Errorf("issue join token: %w", err)
	}
	s.deps.Signal.Expect(m.ID, claims.Settings, nodes[0].SignalEndpoint)
	view := &joinView{
		Title: m.Title, ParticipantID: claims.ParticipantID, JoinToken: token, ExpiresAt: expires.UTC(), Role: role, Region: claims.Region,
		SFUEndpoint: nodes[0].SFUEndpoint, SignalEndpoint: nodes[0].SignalEndpoint,
		Alternates: []alternate{}, ICEServers: []ICEServer{},
	}
	if s.deps.Relays != nil {
		view.ICEServers = append(view.ICEServers, s.deps.Relays.ICEServers(claims.ParticipantID, nodes)...)
	}
	for _, n := range nodes[1:] {
		view.Alternates = append(view.Alternates, alternate{Region: n.Region, SFUEndpoint: n.SFUEndpoint, SignalEndpoint: n.SignalEndpoint})
	}
	return view, nil
}

// bar refuses who was removed from the meeting. Only people can be: the subject of a service's token stands for many,
// and stays out of the claims, so that removing one of them does not bar the others.
func (s *Server) bar(claims *grant.Claims, who caller) error {
	if s.deps.Revoked.Revoked(*claims) {
		return errMeetingEnded().because(errors.New("the meeting is revoked, the store has not said so yet"))
	}
	if !who.person() {
		return nil
	}
	claims.Subject = who.subject
	if s.deps.Revoked.Revoked(*claims) {
		return fail(http.StatusForbidden, "removed", "A host has removed you from this meeting.")
	}
	return nil
}
