package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/parley-sfu/parley/placement"
)

// drainCmd moves everybody off a node, and has the cluster send it no new joins.
type drainCmd struct {
	restFlags
	Node    string        `arg:"" help:"Id of the node; any node of the cluster can be asked."`
	NoWait  bool          `help:"Do not wait until the node is empty." name:"no-wait"`
	Timeout time.Duration `help:"How long to wait at most." default:"90s"`
	JSON    bool          `help:"Print JSON, once at the end." name:"json"`
}

// drainResult is what has become of a drain.
type drainResult struct {
	Node    string  `json:"node"`
	Left    int     `json:"left"` // people who are still on it
	Drained bool    `json:"drained"`
	Seconds float64 `json:"seconds"`
}

// drainLook is how often a node is asked how many are left.
const drainLook = 500 * time.Millisecond

// Run implements the command. It fails when somebody is left in the end.
func (c *drainCmd) Run(ctx context.Context, out console) error {
	start := time.Now()
	if _, err := c.ask(ctx, http.MethodPost, nodePath(c.Node)+"/drain", "cluster:drain"); err != nil {
		return err
	}
	left, err := c.left(ctx)
	if err != nil {
		return err
	}
	if !c.NoWait && left > 0 {
		if left, err = c.wait(ctx, out, left); err != nil {
			return err
		}
	}
	result := drainResult{Node: c.Node, Left: left, Drained: left == 0, Seconds: time.Since(start).Seconds()}
	if c.JSON {
		err = json.NewEncoder(out.stdout).Encode(result)
	} else {
		err = result.tell(out)
	}
	if err == nil && left > 0 && !c.NoWait {
		return errReported
	}
	return err
}

func (r drainResult) tell(out console) error {
	what := fmt.Sprintf("%d people are left on it", r.Left)
	if r.Drained {
		what = "nobody is left on it"
	}
	_, err := fmt.Fprintf(out.stdout, "%s is draining: new joins go to other nodes, %s after %.0f s.\n", r.Node, what, r.Seconds)
	return err
}

// wait tells how many are left until nobody is, or the time for it is over.
func (c *drainCmd) wait(ctx context.Context, out console, left int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	c.report(out, left)
	for left > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return left, nil
		}
		now, err := c.left(ctx)
		switch {
		case ctx.Err() != nil:
			return left, nil
		case err != nil:
			return left, err
		}
		if now != left {
			c.report(out, now)
		}
		left = now
	}
	return 0, nil
}

func (c *drainCmd) report(out console, left int) {
	if !c.JSON {
		fmt.Fprintf(out.stdout, "%d left\n", left)
	}
}

// left asks how many people are on the node.
func (c *drainCmd) left(ctx context.Context) (int, error) {
	body, err := c.ask(ctx, http.MethodGet, nodePath(c.Node), "cluster:drain")
	if err != nil {
		return 0, err
	}
	var answer struct {
		People *int `json:"people"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.People == nil {
		return 0, fmt.Errorf("%s does not answer as a node: %w", c.URL, err)
	}
	return *answer.People, nil
}

// lastMoves is what people have, beyond the deadline, to come back elsewhere after they were cut off.
const lastMoves = 5 * time.Second

// runUntilEmpty runs the node until ctx ends, and then for as long as it takes to move its people to other nodes; deadline
// is when those are cut off who have not moved.
func (p *process) runUntilEmpty(ctx context.Context, deadline time.Duration) error {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	emptied := make(chan struct{})
	go func() {
		defer close(emptied)
		defer stop()
		select {
		case <-ctx.Done():
			p.empty(own, deadline+lastMoves)
		case <-own.Done():
		}
	}()
	err := p.run(own)
	stop()
	<-emptied
	return err
}

// empty drains this node and waits until nobody is left, the time is over, or it is told again to stop. Alone it does
// nothing: there is no place to go to.
func (p *process) empty(ctx context.Context, limit time.Duration) {
	if p.cluster == nil || p.people() == 0 || !p.cluster.hasRefuge() {
		return
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(again)
	p.log.Info("draining before stopping; a second signal stops at once", "people", p.people(), "for_at_most", limit)
	p.cluster.gossip.SetDraining(true)
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for p.people() > 0 {
		select {
		case <-look.C:
		case <-timeout.C:
			p.log.Warn("stopping with people on the node", "people", p.people())
			return
		case <-again:
			return
		case <-ctx.Done():
			return
		}
	}
}

// hasRefuge says whether people of this node can go to another one.
func (c *cluster) hasRefuge() bool {
	for _, n := range c.gossip.Nodes() {
		if n.ID != c.id && !n.Draining && n.Has(placement.RoleSignal) && n.Protocol > 0 {
			return true
		}
	}
	return false
}
