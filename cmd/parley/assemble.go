package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/api/web"
	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal"
)

// process is a whole node, put together and not yet started.
type process struct {
	log     *slog.Logger
	bus     *bus.Bus
	keys    *grant.Keyring
	revoked *grant.Revocations
	node    *node.Node // nil for a node without media
	tiers   tiers
	signal  *signal.Service // nil for a node with media alone
	api     *api.Server
	control *control
	cluster *cluster // nil for a node on its own
	relay   *relay
	http    net.Listener
	secure  *secure // nil for a node without TLS
}

// assemble builds the node in the order in which it starts: bus, node, placement, turn, signal, api. It listens on http from
// Run on and closes it.
func assemble(ctx context.Context, cfg Config, http net.Listener, log *slog.Logger) (*process, error) {
	p := &process{log: log, http: http}
	id, err := nodeID(cfg)
	if err != nil {
		return nil, err
	}
	log = log.With("node", id)

	if p.secure, err = newSecure(ctx, cfg, log); err != nil {
		return nil, err
	}
	if p.bus, err = bus.New(cfg.Bus, log); err != nil {
		return nil, err
	}
	if err = p.assembleGrant(ctx, cfg, log); err != nil {
		return nil, err
	}

	speakers := signal.NewSpeakers()
	if err = p.assembleMedia(id, cfg, speakers, log); err != nil {
		return nil, err
	}
	if p.relay, err = newRelay(cfg, p.node, p.secure.relays(cfg), p.revoked, log); err != nil {
		return nil, err
	}
	place, nodes, err := p.place(id, cfg, log)
	if err != nil {
		return nil, err
	}
	p.relay.nodes = nodes
	if err = p.assembleSignal(ctx, id, cfg, speakers, place, nodes, log); err != nil {
		return nil, err
	}

	deps := api.Deps{
		Keys: p.keys, Revoked: p.revoked, Bus: p.bus, Locator: locator{place}, Relays: p.relay, Log: log,
		Web: web.Handler(), Metrics: telemetry.Handler(), Ready: p.missing,
		NoREST: !cfg.does(placement.RoleAPI), NoSocket: !cfg.does(placement.RoleSignal),
	}
	if p.node != nil {
		deps.Bandwidth = p.node.Bandwidth
	}
	if p.signal != nil { // a nil *signal.Service must not become a Signal
		deps.Signal = p.signal
	}
	if p.cluster != nil { // likewise
		p.cluster.occupancy, p.cluster.people, p.cluster.homes = p.occupancy, p.people, p.homes
		deps.Cluster = p.cluster
	}
	if p.api, err = api.New(cfg.API, deps); err != nil {
		return nil, err
	}
	p.control = newControl(cfg.DataDir, p.keys, log)
	p.measure(id, cfg.Region)
	return p, nil
}

// assembleMedia opens the media sockets, if the node carries media.
func (p *process) assembleMedia(id string, cfg Config, speakers *signal.Speakers, log *slog.Logger) (err error) {
	var others *node.Cluster
	if cfg.Cluster.Listen != "" {
		p.cluster = newCluster(id, p.bus, log)
		others = &node.Cluster{NodeID: id, Links: cfg.Links, Directory: p.cluster, Introducer: p.cluster, Tree: p.cluster}
	}
	if cfg.does(placement.RoleMedia) {
		p.node, err = node.New(cfg.Node, speakers, others, log)
	}
	return err
}

// assembleSignal puts signalling on the media of this node and of the others. A node for REST alone has one too, without
// sockets: that is how it reaches the rooms.
func (p *process) assembleSignal(
	ctx context.Context, id string, cfg Config, speakers *signal.Speakers, place places, nodes signal.Cluster, log *slog.Logger,
) (err error) {
	deps := signal.Deps{
		Speakers: speakers, Bus: p.bus, Cluster: nodes, Locator: place, Keys: p.keys, Revoked: p.revoked, NodeID: id, Log: log,
		ICEServers: p.relay.forSession,
	}
	if p.node != nil {
		deps.Media = signal.OnNode(p.node)
	}
	if p.cluster != nil { // a node on its own is the home of all its rooms
		if deps.Leases, err = p.bus.Bucket(ctx, bus.BucketConfig{Name: "leases"}); err != nil {
			return err
		}
		deps.Direct = p.cluster.gossip
		p.tiers = newTiers(deps.Media, p.bus, p.cluster.gossip, id, speakers, log)
		deps.Fleet = p.tiers.fleet
	}
	if p.tiers.server != nil {
		deps.Media = p.tiers.server
	}
	if cfg.does(placement.RoleAPI) || cfg.does(placement.RoleSignal) {
		p.signal, err = signal.New(cfg.Signal, deps)
	}
	return err
}

// place says who this node is, to itself alone or to the cluster, and returns what chooses among nodes and what knows them.
func (p *process) place(id string, cfg Config, log *slog.Logger) (places, signal.Cluster, error) {
	self := placement.Node{
		ID: id, Region: cfg.Region, SFUEndpoint: p.endpoint(), Roles: cfg.Roles,
		ProbeURL: cfg.API.PublicURL + "/livez", Version: version, Protocol: placement.CurrentProtocol, Relay: p.relay.addresses(),
	}
	if cfg.does(placement.RoleSignal) {
		self.SignalEndpoint = signalURL(cfg.API.PublicURL)
	}
	if p.node != nil {
		addresses := p.node.Addresses()
		self.Media, self.MediaToo = addresses[0], addresses[1:]
	}
	if p.cluster == nil {
		single, err := placement.NewSingle(self)
		return single, single, err
	}
	place, err := p.cluster.join(self, p.node, cfg, log)
	return place, p.cluster.gossip, err
}

// measure shows what concerns the whole process; each package shows its own figures.
func (p *process) measure(id, region string) {
	telemetry.Gauge(telemetry.Name("parley_build_info", "version", version, "node", id, "region", region), func() float64 { return 1 })
	telemetry.Gauge("parley_bus_dropped_messages", func() float64 { return float64(p.bus.Dropped()) })
	telemetry.Gauge("parley_bus_connected", func() float64 {
		if p.bus.Connected() {
			return 1
		}
		return 0
	})
}

// assembleGrant builds what issues, verifies and revokes tokens, on the two buckets that they replicate through.
func (p *process) assembleGrant(ctx context.Context, cfg Config, log *slog.Logger) error {
	publicKeys, err := p.bus.Bucket(ctx, bus.BucketConfig{Name: "keys"})
	if err != nil {
		return err
	}
	revocations, err := p.bus.Bucket(ctx, bus.BucketConfig{Name: "revocations", TTL: cfg.Grant.ResumeTTL + cfg.Grant.JoinTTL})
	if err != nil {
		return err
	}
	p.revoked = grant.NewRevocations(revocations, log)
	p.keys, err = grant.New(cfg.Grant, publicKeys, log)
	return err
}

// run starts the node and blocks until ctx ends or a part of it breaks. It stops in the reverse order: first no more
// requests, then no more sockets, then no more media, and the bus last.
func (p *process) run(ctx context.Context) error {
	return runStages(ctx, p.log, []stage{
		{name: "bus", run: p.bus.Run, ready: p.bus.Ready()},
		{name: "certificates", run: p.secure.runCertificates},
		{name: "keys", run: p.keys.Run},
		{name: "revocations", run: p.revoked.Run},
		{name: "cluster", run: p.cluster.run},
		{name: "turn", run: p.relay.run},
		{name: "node", run: p.runMedia},
		{name: "tiers", run: p.tiers.run},
		{name: "signal", run: p.runSignal},
		{name: "api", run: p.api.Run},
		{name: "control", run: p.control.run},
		{name: "tls", run: p.secure.run},
		{name: "http", run: func(ctx context.Context) error { return p.api.Serve(ctx, p.http) }},
		{name: "https", run: func(ctx context.Context) error { return p.secure.serve(ctx, p.api) }},
	})
}

// missing says what keeps the node from being ready.
func (p *process) missing() []api.Missing {
	var missing []api.Missing
	if !p.bus.Connected() {
		missing = append(missing, api.Missing{Component: "bus", Detail: "NATS does not answer. Calls go on; meetings cannot be made or changed."})
	}
	if !p.keys.Published() {
		missing = append(missing, api.Missing{Component: "keys", Detail: "This node's public key was not stored yet. Other nodes may refuse its join tokens."})
	}
	if !p.secure.certified() {
		missing = append(missing, api.Missing{Component: "certificate", Detail: "There is no certificate yet. HTTPS and TURN over TLS do not work."})
	}
	return missing
}

// nodeID is the configured id, or the one in the data directory, which is made the first time.
func nodeID(cfg Config) (string, error) {
	if cfg.NodeID != "" {
		return cfg.NodeID, nil
	}
	path := filepath.Join(cfg.DataDir, "node-id")
	body, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		body = []byte(newNodeID() + "\n")
		err = errors.Join(os.MkdirAll(cfg.DataDir, 0o700), os.WriteFile(path, body, 0o600))
	}
	if err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	return strings.TrimSpace(string(body)), nil
}

// listen opens the HTTP port.
func listen(ctx context.Context, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: is another node running? --listen or the key listen takes another port, 0 any free one", err)
	}
	return ln, nil
}
