package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/placement"
)

// drainSubject is where a node is told to take nothing new, or to do so again.
const drainSubject = "parley.drain." // + node

// linkSubject is where a node takes introductions of others; see cascade.Introducer.
const linkSubject = "parley.link." // + node

// cluster ties gossip, the bus and the SFU together: gossip knows where a node is, the bus or gossip carries the introduction, and
// from then on the link is the SFU's own. It implements cascade.Directory, cascade.Introducer and node.Tree.
type cluster struct {
	id        string
	bus       *bus.Bus
	gossip    *placement.Cluster
	tree      *tree      // nil before join
	node      *node.Node // nil for a node without media
	log       *slog.Logger
	occupancy func() map[string]int // people by meeting on this node; set before run
	people    func() int            // everybody on this node; likewise
	homes     func() []string       // meetings whose home this node is; likewise
}

func newCluster(id string, b *bus.Bus, log *slog.Logger) *cluster {
	return &cluster{id: id, bus: b, log: log}
}

// join makes the gossip of this node, whose media sockets, if it has any, are open by now.
func (c *cluster) join(self placement.Node, n *node.Node, cfg Config, log *slog.Logger) (*placement.Locator, error) {
	c.node = n
	if n != nil {
		self.Fingerprint = n.Fingerprint().String()
	}
	cfg.Cluster.NodeID, cfg.Cluster.Region, cfg.Geo.Region = self.ID, self.Region, self.Region
	var err error
	if c.gossip, err = placement.New(cfg.Cluster, self, log); err != nil {
		return nil, err
	}
	c.gossip.Answer(func(_ string, introduction []byte) ([]byte, error) {
		return c.introduced(context.Background(), introduction)
	})
	c.tree = newTree(self.ID, c.gossip)
	return placement.NewLocator(cfg.Geo, c.gossip.Nodes)
}

// Parents implements node.Tree.
func (c *cluster) Parents(room, origin string) []string { return c.tree.Parents(room, origin) }

// run gossips and answers the other nodes until ctx ends.
func (c *cluster) run(ctx context.Context) error {
	if c == nil {
		<-ctx.Done()
		return nil
	}
	for subject, answer := range map[string]func(context.Context, []byte) ([]byte, error){
		linkSubject:   c.introduced,
		drainSubject:  c.drained,
		reportSubject: c.asked,
	} {
		stop, err := c.bus.Serve(subject+c.id, answer)
		if err != nil {
			return fmt.Errorf("serve %s: %w", subject, err)
		}
		defer stop()
	}
	defer c.gossip.Watch(c.seen)()
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.sample(own) })
	defer cancel()
	return c.gossip.Run(ctx)
}

// Lookup implements cascade.Directory.
func (c *cluster) Lookup(id string) (cascade.Address, bool) {
	n, ok := c.gossip.Lookup(id)
	if !ok {
		return cascade.Address{}, false
	}
	algorithm, value, _ := strings.Cut(n.Fingerprint, " ")
	return cascade.Address{Media: n.Media, Fingerprint: rtc.Fingerprint{Algorithm: algorithm, Value: value}}, true
}

// seen makes links anew with nodes that gossip knows again.
func (c *cluster) seen(joined, _ []string) {
	if c.node == nil {
		return
	}
	for _, id := range joined {
		c.node.Found(id)
	}
}

// introduced answers another node's Introduce.
func (c *cluster) introduced(_ context.Context, introduction []byte) ([]byte, error) {
	if c.node == nil {
		return nil, errors.New("this node carries no media")
	}
	return c.node.Introduced(introduction)
}
