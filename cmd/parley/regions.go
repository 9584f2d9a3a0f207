package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/internal/loopback"
)

const (
	// maxDevRegions is as many as one machine makes sense of.
	maxDevRegions = 9
	// portStep is how far apart the ports of two nodes on one machine are.
	portStep = 10
)

// devNode is one node of parley dev before it runs.
type devNode struct {
	cfg Config
	ln  net.Listener
}

// nodes makes the nodes of parley dev, one for each region. The first runs NATS for all of them.
func (c *devCmd) nodes(ctx context.Context, key api.APIKey) (nodes []devNode, err error) {
	defer func() {
		if err != nil {
			for _, n := range nodes {
				err = errors.Join(err, n.ln.Close())
			}
		}
	}()
	for i := range c.Regions {
		ln, err := c.listenAs(ctx, i)
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, devNode{ln: ln})
		data := c.Data
		if c.Regions > 1 {
			data = filepath.Join(c.Data, "region-"+strconv.Itoa(i+1))
		}
		if nodes[i].cfg, err = c.configure(ctx, ln.Addr(), data, key); err != nil {
			return nodes, err
		}
	}
	if len(nodes) > 1 {
		err = connect(ctx, nodes)
	}
	return nodes, err
}

// listenAs opens the HTTP port of the node with a number: the one that was asked for, and then every tenth, or a free one
// where that is taken.
func (c *devCmd) listenAs(ctx context.Context, number int) (net.Listener, error) {
	if number == 0 {
		return listen(ctx, c.Listen)
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if first, err := strconv.Atoi(port); err == nil && first != 0 {
		if ln, err := listen(ctx, net.JoinHostPort(host, strconv.Itoa(first+number*portStep))); err == nil {
			return ln, nil
		}
	}
	return listen(ctx, net.JoinHostPort(host, "0"))
}

// connect gives every node a name, a region, one NATS and the address of the first node's gossip.
func connect(ctx context.Context, nodes []devNode) error {
	bus, err := loopback.Free(ctx)
	if err != nil {
		return err
	}
	var first string
	secret := rand.Text() // nodes on loopback have no cluster key to make one of
	for i := range nodes {
		cfg := &nodes[i].cfg
		cfg.Turn.Secrets = []string{secret}
		cfg.Region, cfg.NodeID = "region-"+strconv.Itoa(i+1), "node-"+strconv.Itoa(i+1)
		if cfg.Cluster.Listen, err = loopback.Free(ctx); err != nil {
			return err
		}
		if i == 0 {
			first, cfg.Bus.Listen = cfg.Cluster.Listen, bus
		} else {
			cfg.Cluster.Join, cfg.Bus.URL = []string{first}, "nats://"+bus
		}
		if err := cfg.Validate(); err != nil {
			return err
		}
	}
	return nil
}
