package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/telemetry"
)

// Cluster is all nodes as this one knows them. It is safe for concurrent use. What it returns is the caller's.
type Cluster interface {
	// Nodes returns every node that lives, this one included. It answers from memory and is called often.
	Nodes() []ClusterNode
	// Rooms returns the rooms that all nodes carry. It asks the others; silent are the ids of those that did not answer
	// before ctx ended.
	Rooms(ctx context.Context) (rooms []ClusterRoom, silent []string)
	// Links returns all nodes' links, each link once from each of its ends. It asks as Rooms does.
	Links(ctx context.Context) (links []ClusterLink, silent []string)
	// People counts who is on a node now, by the node's own word: those in lobbies too, and those who may come back. Errors are
	// those of SetDraining.
	People(ctx context.Context, id string) (int, error)
	// SetDraining lets a node, this or another, take no new joins, or take them again. Once it returns nil the node has
	// done so; others hear of it by gossip. What the node is already is no mistake. A node that does not answer is
	// bus.ErrUnavailable or a context's error.
	SetDraining(ctx context.Context, id string, draining bool) error
}

// ClusterNode is a node and how it is.
type ClusterNode struct {
	ID             string      `json:"id"`
	Region         string      `json:"region"`
	SFUEndpoint    string      `json:"sfu_endpoint"`    // host:port of its media
	SignalEndpoint string      `json:"signal_endpoint"` // whole URL of its signalling socket
	Roles          []string    `json:"roles"`           // what it does; empty: everything
	Version        string      `json:"version"`
	Draining       bool        `json:"draining"` // is sent no new joins, and moves its participants to other nodes
	Load           ClusterLoad `json:"load"`
	Self           bool        `json:"self"` // it is the one that answers
}

// ClusterLoad is how busy a node is, by its own word. The figures are finite.
type ClusterLoad struct {
	CPU              float64 `json:"cpu"`                // share of the machine, 0 to 1
	PacketsPerSecond float64 `json:"packets_per_second"` // media, received and sent
	BitsPerSecond    float64 `json:"bits_per_second"`
	Participants     int     `json:"participants"`
}

// ClusterRoom is the part of a room that one node carries.
type ClusterRoom struct {
	MeetingID    string `json:"meeting_id"`
	Node         string `json:"node"`
	Participants int    `json:"participants"` // connected to that node, without those who wait in the lobby
	Home         bool   `json:"home"`         // the node is the room's home: it admits
}

// ClusterLink is one node's side of the one link that it has with another.
type ClusterLink struct {
	Node          string `json:"node"`
	Peer          string `json:"peer"`
	Region        string `json:"region"` // the peer's
	Up            bool   `json:"up"`
	SentBytes     uint64 `json:"sent_bytes"` // over the link's life
	ReceivedBytes uint64 `json:"received_bytes"`

	Role             LinkRole `json:"role"`              // what the peer is to the node
	RTT              float64  `json:"rtt_ms"`            // to the peer and back, in milliseconds; 0 while it is not known
	PulledTracks     int      `json:"pulled_tracks"`     // that the node has from the peer
	PulledLayers     int      `json:"pulled_layers"`     // likewise
	ServedTracks     int      `json:"served_tracks"`     // that the peer has from the node
	ServedLayers     int      `json:"served_layers"`     // likewise
	RequestedPackets uint64   `json:"requested_packets"` // lost on their way to the node, and asked for again
	ResentPackets    uint64   `json:"resent_packets"`    // lost on their way to the peer, and sent again
}

// LinkRole says which way tracks go over a link.
type LinkRole string

// What the peer of a link can be to the node.
const (
	LinkParent  LinkRole = "parent"  // tracks come from it
	LinkChild   LinkRole = "child"   // tracks go to it
	LinkBoth    LinkRole = "both"    // tracks of different participants go both ways
	LinkStandby LinkRole = "standby" // nothing goes either way
)

// nodesView is the whole cluster.
type nodesView struct {
	Nodes []ClusterNode `json:"nodes"`
}

// clusterNodes is GET /v1/cluster/nodes.
func (s *Server) clusterNodes(c *gin.Context) error {
	if err := callerOf(c).need(rightCluster); err != nil {
		return err
	}
	view := nodesView{Nodes: append([]ClusterNode{}, s.cluster.Nodes()...)}
	slices.SortFunc(view.Nodes, func(a, b ClusterNode) int { return strings.Compare(a.ID, b.ID) })
	for i, n := range view.Nodes {
		view.Nodes[i].Roles = append([]string{}, n.Roles...)
	}
	c.JSON(http.StatusOK, view)
	return nil
}

// nodeView is one node and who is left on it.
type nodeView struct {
	Node   ClusterNode `json:"node"`
	People int         `json:"people"`
}

// clusterNode is GET /v1/cluster/nodes/{id}: how far a drain has come. Whoever may drain may look.
func (s *Server) clusterNode(c *gin.Context) error {
	if err := callerOf(c).need(rightCluster, rightDrain); err != nil {
		return err
	}
	nodes := s.cluster.Nodes()
	at := slices.IndexFunc(nodes, func(n ClusterNode) bool { return n.ID == c.Param("id") })
	if at < 0 {
		return errNoNode()
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	people, err := s.cluster.People(ctx, nodes[at].ID)
	if err != nil {
		return nodeFailure(err, "The node does not answer.")
	}
	view := nodeView{Node: nodes[at], People: people}
	view.Node.Roles = append([]string{}, view.Node.Roles...)
	c.JSON(http.StatusOK, view)
	return nil
}

func errNoNode() *failure {
	return fail(http.StatusNotFound, "node_not_found", "No node with this id is alive.")
}

// nodeFailure is what comes of a node that does not answer, or of another error.
func nodeFailure(err error, say string) error {
	if errors.Is(err, bus.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return fail(http.StatusServiceUnavailable, "node_unreachable", "%s", say).after(time.Second).because(err)
	}
	return err
}

// clusterRoomsView is all rooms, but for those of silent nodes.
type clusterRoomsView struct {
	Rooms  []ClusterRoom `json:"rooms"`
	Silent []string      `json:"silent"`
}

// askCluster is how long one node waits for the others' part of an answer.
const askCluster = 2 * time.Second

// asking bounds a question to all nodes: what some have answered is shown, whoever else is silent.
func (s *Server) asking(c *gin.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request.Context(), min(askCluster, s.cfg.Timeouts.Store))
}

// clusterRooms is GET /v1/cluster/rooms.
func (s *Server) clusterRooms(c *gin.Context) error {
	if err := callerOf(c).need(rightCluster); err != nil {
		return err
	}
	ctx, cancel := s.asking(c)
	defer cancel()
	rooms, silent := s.cluster.Rooms(ctx)
	view := clusterRoomsView{Rooms: append([]ClusterRoom{}, rooms...), Silent: append([]string{}, silent...)}
	slices.Sort(view.Silent)
	slices.SortFunc(view.Rooms, func(a, b ClusterRoom) int {
		return cmp.Or(strings.Compare(a.MeetingID, b.MeetingID), strings.Compare(a.Node, b.Node))
	})
	c.JSON(http.StatusOK, view)
	return nil
}

// linksView is all links, but for the silent nodes' ends.
type linksView struct {
	Links  []ClusterLink `json:"links"`
	Silent []string      `json:"silent"`
}

// clusterLinks is GET /v1/cluster/links.
func (s *Server) clusterLinks(c *gin.Context) error {
	if err := callerOf(c).need(rightCluster); err != nil {
		return err
	}
	ctx, cancel := s.asking(c)
	defer cancel()
	links, silent := s.cluster.Links(ctx)
	view := linksView{Links: append([]ClusterLink{}, links...), Silent: append([]string{}, silent...)}
	slices.Sort(view.Silent)
	slices.SortFunc(view.Links, func(a, b ClusterLink) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Peer, b.Peer))
	})
	c.JSON(http.StatusOK, view)
	return nil
}

// setDraining makes the handler of drain or undrain.
func (s *Server) setDraining(draining bool) handler {
	return func(c *gin.Context) error {
		who, id := callerOf(c), c.Param("id")
		if err := who.need(rightDrain); err != nil {
			return err
		}
		if err := s.noBody(c); err != nil {
			return err
		}
		if !slices.ContainsFunc(s.cluster.Nodes(), func(n ClusterNode) bool { return n.ID == id }) {
			return errNoNode()
		}
		ctx, cancel := s.bounded(c)
		defer cancel()
		if err := s.cluster.SetDraining(ctx, id, draining); err != nil {
			return nodeFailure(err, "The node does not answer; what was asked may have been done.")
		}
		s.deps.Log.Info("draining was set", "of_node", id, "draining", draining, "caller", who.id,
			"request_id", telemetry.RequestID(c.Request.Context()))
		c.Status(http.StatusNoContent)
		return nil
	}
}

// self is this node as the cluster sees it.
func (s *Server) self() ClusterNode {
	for _, n := range s.cluster.Nodes() {
		if n.Self {
			return n
		}
	}
	return ClusterNode{}
}
