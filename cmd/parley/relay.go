package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal"
	"github.com/parley-sfu/parley/signal/wire"
	"github.com/parley-sfu/parley/turn"
)

// relay ties the relay of this node to what gossip knows: whom it may relay to, and which relays other nodes have. It implements
// api.Relays also where this node has no relay.
type relay struct {
	region      string
	credentials *turn.Credentials
	server      *turn.Server   // nil for a node without media, or without an address to relay at
	media       *node.Node     // likewise
	nodes       signal.Cluster // set before run
}

// learnEvery is how often the addresses of this machine are looked at, which may change; gossip tells of other nodes at once.
const learnEvery = 5 * time.Second

// newRelay opens the relay's sockets; those of the media are open by now. It takes over the ways in by TLS.
func newRelay(cfg Config, n *node.Node, overTLS []turn.TLSListener, revoked *grant.Revocations, log *slog.Logger) (*relay, error) {
	keys, err := cfg.Cluster.Keys()
	if err != nil {
		return nil, err
	}
	r := &relay{region: cfg.Region, media: n}
	if r.credentials, err = turn.NewCredentials(cfg.Turn, keys, cfg.DataDir); err != nil {
		return nil, err
	}
	if n == nil || cfg.Turn.Listen == "" {
		for _, way := range overTLS {
			err = errors.Join(err, way.Listener.Close()) // no relay: whoever comes for it is hung up on
		}
		return r, err
	}
	deps := turn.Deps{Credentials: r.credentials, TLS: overTLS, Revoked: revoked.RevokedEverywhere, Log: log}
	for _, at := range n.Addresses() {
		deps.Addresses = append(deps.Addresses, at.Addr())
	}
	if r.server, err = turn.New(cfg.Turn, deps); err != nil {
		return r, err
	}
	n.SetRelays(r.relays)
	return r, nil
}

// relays reports whether an address is the end of an allocation of this node's relay. Other nodes' relays are as far away as other
// ways are, and need no telling.
func (r *relay) relays(from netip.AddrPort) bool {
	return r.server.Relays(from.Port()) && slices.ContainsFunc(r.media.Addresses(), func(own netip.AddrPort) bool {
		return own.Addr() == from.Addr()
	})
}

// addresses are where clients reach the relay, for gossip.
func (r *relay) addresses() []string {
	if r.server == nil {
		return nil
	}
	return r.server.Addresses()
}

// run relays, to the SFUs that gossip knows, until ctx ends.
func (r *relay) run(ctx context.Context) error {
	if r.server == nil {
		<-ctx.Done()
		return nil
	}
	defer r.nodes.Watch(func(_, _ []string) { r.learn() })()
	r.learn()
	own, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		tick := time.NewTicker(learnEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.learn()
			case <-own.Done():
				return
			}
		}
	})
	return r.server.Run(ctx)
}

// learn tells the relay of all SFUs: this node's as it is now, the others' as they were told.
func (r *relay) learn() {
	peers := r.media.Addresses()
	for _, n := range r.nodes.Nodes() {
		peers = append(peers, n.MediaAddresses()...)
	}
	r.server.SetPeers(peers)
}

// ICEServers implements api.Relays: the relay of the best node that has one, or else one of its region.
func (r *relay) ICEServers(participantID string, candidates []grant.Candidate) []api.ICEServer {
	addresses := r.choose(candidates).Relay
	stun, urls := turn.URLs(addresses)
	username, password, ok := r.credentials.MintFor(addresses, participantID, time.Now())
	if len(urls) == 0 || !ok {
		return nil
	}
	return []api.ICEServer{{URLs: stun}, {URLs: urls, Username: username, Credential: password}}
}

// forSession is ICEServers for a participant who is connected.
func (r *relay) forSession(participantID string, candidates []grant.Candidate) []wire.ICEServer {
	var servers []wire.ICEServer
	for _, s := range r.ICEServers(participantID, candidates) {
		servers = append(servers, wire.ICEServer(s))
	}
	return servers
}

// choose picks a node that has a relay which takes our credentials: the first candidate, or one of its region, or whichever is named next.
func (r *relay) choose(candidates []grant.Candidate) placement.Node {
	byID := map[string]placement.Node{}
	var near []placement.Node
	for _, n := range r.nodes.Nodes() {
		if _, _, ok := r.credentials.MintFor(n.Relay, "", time.Time{}); !ok || len(n.Relay) == 0 {
			continue
		}
		byID[n.ID] = n
		if len(candidates) > 0 && n.Region == candidates[0].Region {
			near = append(near, n)
		}
	}
	if len(candidates) == 0 {
		return placement.Node{}
	}
	if n, ok := byID[candidates[0].Node]; ok {
		return n
	}
	if ranked := placement.Rank(candidates[0].Node, near); len(ranked) > 0 {
		return ranked[0]
	}
	for _, c := range candidates[1:] {
		if n, ok := byID[c.Node]; ok {
			return n
		}
	}
	return placement.Node{}
}
