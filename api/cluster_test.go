package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/signal/wire"
)

// fakeCluster answers what the test says and records what it was asked to do.
type fakeCluster struct {
	mu    sync.Mutex // protects following
	nodes []ClusterNode
	rooms []ClusterRoom
	links []ClusterLink
	err   error
	calls []string
}

func (f *fakeCluster) Nodes() []ClusterNode {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.nodes)
}

func (f *fakeCluster) Rooms(context.Context) (rooms []ClusterRoom, silent []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rooms), []string{"n9", "n8"}
}

func (f *fakeCluster) Links(context.Context) (links []ClusterLink, silent []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.links), nil
}

func (f *fakeCluster) People(_ context.Context, id string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.nodes {
		if n.ID == id {
			return n.Load.Participants + 1, f.err // one in the lobby
		}
	}
	return 0, f.err
}

func (f *fakeCluster) SetDraining(_ context.Context, id string, draining bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprint(id, " ", draining))
	for i := range f.nodes {
		if f.err == nil && f.nodes[i].ID == id {
			f.nodes[i].Draining = draining
		}
	}
	return f.err
}

func (f *fakeCluster) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeCluster) breaks(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// twoNodes is a cluster of n1, which answers, and n2, with nothing in the order in which it is shown.
func twoNodes() *fakeCluster {
	return &fakeCluster{
		nodes: []ClusterNode{
			{
				ID: "n2", Region: "us", SFUEndpoint: "192.0.2.2:7881", SignalEndpoint: "wss://n2.example.org/v1/signal", Roles: []string{"media"},
				Version: "1.2.3", Load: ClusterLoad{CPU: 0.25, PacketsPerSecond: 1200.5, BitsPerSecond: 9.6e6, Participants: 12},
			},
			{ID: "n1", Region: "eu", SFUEndpoint: "192.0.2.1:7881", SignalEndpoint: "wss://n1.example.org/v1/signal", Self: true},
		},
		rooms: []ClusterRoom{
			{MeetingID: "mtg_" + strings.Repeat("b", 26), Node: "n1", Participants: 2},
			{MeetingID: "mtg_" + strings.Repeat("a", 26), Node: "n2"},
			{MeetingID: "mtg_" + strings.Repeat("a", 26), Node: "n1", Participants: 7, Home: true},
		},
		links: []ClusterLink{
			{Node: "n2", Peer: "n1", Region: "eu", Role: LinkStandby},
			{
				Node: "n1", Peer: "n2", Region: "us", Up: true, SentBytes: 1 << 40, ReceivedBytes: 1, Role: LinkBoth, RTT: 80.5,
				PulledTracks: 2, PulledLayers: 3, ServedTracks: 1, ServedLayers: 1, RequestedPackets: 7, ResentPackets: 1,
			},
		},
	}
}

func withCluster(cluster Cluster) option { return func(_ *Config, d *Deps) { d.Cluster = cluster } }

func TestClusterIsListed(t *testing.T) {
	cluster := twoNodes()
	r := newRig(t, withCluster(cluster))
	reader := bearer(r.token(rightCluster))
	var nodes nodesView
	r.get("/v1/cluster/nodes", reader).into(&nodes)
	want := []ClusterNode{cluster.nodes[1], cluster.nodes[0]}
	want[0].Roles = []string{}
	if !reflect.DeepEqual(nodes.Nodes, want) {
		t.Errorf("nodes = %+v, want %+v", nodes.Nodes, want)
	}
	var rooms clusterRoomsView
	r.get("/v1/cluster/rooms", reader).into(&rooms)
	if want := []ClusterRoom{cluster.rooms[2], cluster.rooms[1], cluster.rooms[0]}; !slices.Equal(rooms.Rooms, want) {
		t.Errorf("rooms = %+v, want %+v", rooms.Rooms, want)
	}
	if want := []string{"n8", "n9"}; !slices.Equal(rooms.Silent, want) {
		t.Errorf("silent = %q, want %q", rooms.Silent, want)
	}
	var links linksView
	r.get("/v1/cluster/links", reader).into(&links)
	if want := []ClusterLink{cluster.links[1], cluster.links[0]}; links.Silent == nil || !slices.Equal(links.Links, want) {
		t.Errorf("links = %+v, want %+v", links, want)
	}
}

func TestDraining(t *testing.T) {
	cluster := twoNodes()
	r := newRig(t, withCluster(cluster))
	operator := bearer(r.token(rightDrain))
	for _, tc := range []struct {
		name, path, call string
		ready            int
	}{
		{"drain another", "n2/drain", "n2 true", http.StatusOK},
		{"drain it again", "n2/drain", "n2 true", http.StatusOK},
		{"undrain another", "n2/undrain", "n2 false", http.StatusOK},
		{"drain this node", "n1/drain", "n1 true", http.StatusServiceUnavailable},
		{"undrain this node", "n1/undrain", "n1 false", http.StatusOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			r.post("/v1/cluster/nodes/"+tc.path, nil, operator).want(http.StatusNoContent)
			if got := cluster.took(); !slices.Equal(got, []string{tc.call}) {
				t.Errorf("cluster heard %q, want %q", got, tc.call)
			}
			r.get("/readyz").want(tc.ready)
		})
	}
}

func TestDrainingNodeIsNotReady(t *testing.T) {
	cluster := twoNodes()
	cluster.nodes[1].Draining = true
	r := newRig(t, withCluster(cluster))
	p := r.get("/readyz").wantProblem(http.StatusServiceUnavailable, "not_ready")
	if len(p.Missing) != 1 || p.Missing[0].Component != "draining" {
		t.Errorf("missing = %+v, want draining", p.Missing)
	}
	r.get("/livez").want(http.StatusOK)
}

func TestDrainingFaults(t *testing.T) {
	cluster := twoNodes()
	r := newRig(t, withCluster(cluster))
	operator := bearer(r.token(rightDrain))
	for _, node := range []string{"n3", "n", "N1", "..", "%20", "%00"} {
		for _, verb := range []string{"/drain", "/undrain"} {
			r.post("/v1/cluster/nodes/"+node+verb, nil, operator).wantProblem(http.StatusNotFound, "node_not_found")
		}
	}
	r.post("/v1/cluster/nodes/n2/drain", object{"deadline": 5}, operator).wantProblem(http.StatusBadRequest, "unknown_field")
	if got := cluster.took(); got != nil {
		t.Errorf("cluster heard %q of what was refused", got)
	}
	r.get("/v1/cluster/nodes/n3", operator).wantProblem(http.StatusNotFound, "node_not_found")
	var left nodeView
	r.get("/v1/cluster/nodes/n2", operator).into(&left)
	if left.People != 13 || left.Node.ID != "n2" || left.Node.Load.Participants != 12 {
		t.Errorf("n2 is %+v", left)
	}
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("bus: %w", bus.ErrUnavailable), http.StatusServiceUnavailable, "node_unreachable"},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "node_unreachable"},
		{errors.New("a mistake"), http.StatusInternalServerError, "internal"},
	} {
		cluster.breaks(tc.err)
		r.post("/v1/cluster/nodes/n2/drain", nil, operator).wantProblem(tc.status, tc.code)
		r.get("/v1/cluster/nodes/n2", operator).wantProblem(tc.status, tc.code)
	}
}

func TestWhoMayAskTheCluster(t *testing.T) {
	cluster := twoNodes()
	r := newRig(t, withCluster(cluster))
	m := r.create(object{"title": "x"})
	for _, tc := range []struct{ method, path, right string }{
		{http.MethodGet, "/v1/cluster/nodes", rightCluster},
		{http.MethodGet, "/v1/cluster/rooms", rightCluster},
		{http.MethodGet, "/v1/cluster/links", rightCluster},
		{http.MethodPost, "/v1/cluster/nodes/n2/drain", rightDrain},
		{http.MethodPost, "/v1/cluster/nodes/n2/undrain", rightDrain},
		{http.MethodPost, "/v1/cluster/nodes/nobody/drain", rightDrain},
	} {
		t.Run(tc.path, func(t *testing.T) {
			r := r.in(t)
			r.do(tc.method, tc.path, nil).wantProblem(http.StatusUnauthorized, "unauthenticated")
			r.do(tc.method, tc.path, nil, header(HostKeyHeader, m.HostKey)).wantProblem(http.StatusUnauthorized, "unauthenticated")
			others := slices.DeleteFunc(slices.Clone(allRights), func(right string) bool { return right == tc.right })
			r.do(tc.method, tc.path, nil, bearer(r.token(others...))).wantProblem(http.StatusForbidden, "forbidden")
		})
	}
	if got := cluster.took(); got != nil {
		t.Errorf("cluster heard %q of what was refused", got)
	}
}

// A node that was given no cluster answers as the cluster of one that it is, with rooms that are really there.
func TestNodeThatIsAlone(t *testing.T) {
	r := newRig(t, withRooms(t))
	m := r.create(object{"title": "x", "settings": object{"guests": true, "waiting_room": true}})
	host := r.connect(t, r.join(m.ID, object{"host_key": m.HostKey}))
	host.await(wire.TypeSnapshot)
	r.connect(t, r.join(m.ID, nil)).await(wire.TypeWaiting) // the lobby does not count

	all := bearer(r.token(allRights...))
	var nodes nodesView
	r.get("/v1/cluster/nodes", all).into(&nodes)
	self := ClusterNode{
		ID: "n1", Region: "here", SFUEndpoint: "127.0.0.1:7881", SignalEndpoint: "ws://127.0.0.1:7880/v1/signal", Roles: []string{},
		Load: ClusterLoad{Participants: 1}, Self: true,
	}
	if !reflect.DeepEqual(nodes.Nodes, []ClusterNode{self}) {
		t.Errorf("nodes = %+v, want %+v", nodes.Nodes, self)
	}
	var rooms clusterRoomsView
	r.get("/v1/cluster/rooms", all).into(&rooms)
	if want := []ClusterRoom{{MeetingID: m.ID, Node: "n1", Participants: 1, Home: true}}; !slices.Equal(rooms.Rooms, want) {
		t.Errorf("rooms = %+v, want %+v", rooms.Rooms, want)
	}
	var links linksView
	r.get("/v1/cluster/links", all).into(&links)
	if links.Links == nil || len(links.Links) != 0 {
		t.Errorf("links = %+v", links)
	}

	r.post("/v1/cluster/nodes/n1/drain", nil, all).want(http.StatusNoContent)
	r.get("/readyz").wantProblem(http.StatusServiceUnavailable, "not_ready")
	r.join(m.ID, nil) // there is no other node for it
	r.post("/v1/cluster/nodes/n2/drain", nil, all).wantProblem(http.StatusNotFound, "node_not_found")
	r.post("/v1/cluster/nodes/n1/undrain", nil, all).want(http.StatusNoContent)
	r.get("/readyz").want(http.StatusOK)
}
