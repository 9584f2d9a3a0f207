package placement

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"
)

// Cluster is this node's view of all nodes, kept by gossip. It is safe for concurrent use.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	place   *coordinate.Client
	ready   chan struct{}
	facts   chan struct{} // has an element when this node's facts are to be told
	change  chan struct{} // has an element when what Nodes returns has changed
	queue   memberlist.TransmitLimitedQueue
	asked   chan letter // questions of other nodes
	ordered chan letter // likewise, that came over connections

	mu        sync.Mutex             // guards what follows; memberlist is never called under it
	list      *memberlist.Memberlist // nil before Run
	addr      netip.AddrPort
	self      Node
	told      pulse // this node's latest
	load      Load  // as told last
	members   map[string]*member
	lost      map[string]lostNode
	sorted    []Node // what Nodes returns, or nil when it must be made anew
	watchers  map[int]func(joined, left []string)
	watched   int // ids of watchers so far
	answerer  func(from string, question []byte) ([]byte, error)
	supplier  func(from string, question []byte) ([]byte, error)
	questions map[uint64]*question // of this node, by number
}

// member is another node that lives.
type member struct {
	node  Node // its facts
	addr  netip.AddrPort
	pulse pulse // the latest of this incarnation; without one its number is 0
}

// lostNode is one that went without a word: it may come back once the network heals.
type lostNode struct {
	addr  netip.AddrPort
	since time.Time
}

// New returns a cluster that knows nobody but self, and tells nobody of it before Run. Of self, ID and Region come from
// the configuration. An error names every fault at once.
func New(cfg Config, self Node, log *slog.Logger) (*Cluster, error) {
	if cfg.timing == (timing{}) {
		cfg.timing = wanTiming()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	self.ID, self.Region = cfg.NodeID, cfg.Region
	self.Incarnation = uint64(time.Now().UnixMicro())
	self.Load = self.Load.sane()
	if _, err := encodeFacts(self); err != nil {
		return nil, err
	}
	place, err := coordinate.NewClient(coordinate.DefaultConfig())
	if err != nil {
		return nil, fmt.Errorf("placement: coordinates: %w", err)
	}
	c := &Cluster{
		cfg: cfg, log: log, place: place,
		ready: make(chan struct{}), facts: make(chan struct{}, 1), change: make(chan struct{}, 1),
		self: self, load: self.Load, asked: make(chan letter, maxQuestions), ordered: make(chan letter, maxQuestions), questions: map[uint64]*question{},
		members: map[string]*member{}, lost: map[string]lostNode{}, watchers: map[int]func(joined, left []string){},
	}
	c.told = newPulse(self, 1)
	c.queue.RetransmitMult = 3
	c.queue.NumNodes = c.size
	return c, nil
}

// Run gossips until ctx ends, and leaves the cluster then, so that nobody takes this node for dead. It looks for the
// nodes of Config.Join, and for nodes that were lost, for as long as it takes.
func (c *Cluster) Run(ctx context.Context) error {
	list, err := c.start()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.keepJoined(ctx, list) })
	for range answerWorkers {
		wg.Go(func() { c.answerAll(ctx, c.asked) })
		wg.Go(func() { c.answerAll(ctx, c.ordered) })
	}
	wg.Go(func() { c.tellFacts(ctx, list) })
	wg.Go(func() { c.beat(ctx) })
	wg.Go(func() { c.dispatch(ctx) })
	<-ctx.Done()
	err = list.Leave(c.cfg.timing.leaveWithin)
	if err != nil {
		c.log.Warn("nobody heard that this node leaves: it will be taken for dead", "error", err)
	}
	wg.Wait()
	if err := list.Shutdown(); err != nil {
		return fmt.Errorf("placement: stop gossip: %w", err)
	}
	return nil
}

// start makes memberlist listen.
func (c *Cluster) start() (*memberlist.Memberlist, error) {
	m, err := c.cfg.memberlist()
	if err != nil {
		return nil, fmt.Errorf("placement: %w", err)
	}
	d := delegate{c}
	m.Delegate, m.Events, m.Ping, m.Alive, m.Conflict = d, d, d, d, d
	m.LogOutput = logWriter{c.log}
	list, err := memberlist.Create(m)
	if err != nil {
		return nil, fmt.Errorf("placement: gossip at %s: %w", c.cfg.Listen, err)
	}
	addr := addrOf(list.LocalNode())
	c.mu.Lock()
	c.list, c.addr = list, addr
	c.mu.Unlock()
	return list, nil
}

// Ready is closed once this node gossips and has asked the configured nodes once, with whatever success.
func (c *Cluster) Ready() <-chan struct{} { return c.ready }

// Addr returns where other nodes reach this node's gossip. It is valid once Ready is closed.
func (c *Cluster) Addr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

// Nodes returns the nodes that live, this one included, sorted by id. The list is the caller's.
func (c *Cluster) Nodes() []Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodesLocked())
}

func (c *Cluster) nodesLocked() []Node {
	if c.sorted == nil {
		c.sorted = make([]Node, 0, len(c.members)+1)
		c.sorted = append(c.sorted, c.self)
		for _, m := range c.members {
			c.sorted = append(c.sorted, m.now())
		}
		slices.SortFunc(c.sorted, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	}
	return c.sorted
}

// now is the node with its latest pulse.
func (m *member) now() Node {
	if m.pulse.Number == 0 {
		return m.node
	}
	return m.pulse.apply(m.node)
}

// Lookup returns a node that lives.
func (c *Cluster) Lookup(id string) (Node, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == c.self.ID {
		return c.self, true
	}
	m := c.members[id]
	if m == nil {
		return Node{}, false
	}
	return m.now(), true
}

// Self returns this node.
func (c *Cluster) Self() Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.self
}

// SetLoad takes a new measurement, which should be smoothed over some seconds and come every second or so. It decides
// this node's pressure. Others are told when it is worth it, within about a second.
func (c *Cluster) SetLoad(l Load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self.Load = l.sane()
	mates := keep(c.nodesLocked(), func(n Node) bool {
		return n.ID != c.self.ID && n.Region == c.self.Region && !n.Draining && n.Has(RoleMedia)
	})
	c.self.Pressure = c.self.Pressure.next(c.self.Load, meanCPU(append(mates, c.self)))
	c.changedLocked()
}

// SetDraining says that this node takes nothing new, or that it does again. All nodes see it within a second or two.
func (c *Cluster) SetDraining(draining bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.self.Draining == draining {
		return
	}
	c.self.Draining = draining
	c.changedLocked()
	poke(c.facts)
}

// changedLocked notes that what Nodes returns is out of date.
func (c *Cluster) changedLocked() {
	c.sorted = nil
	poke(c.change)
}

func (c *Cluster) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members) + 1
}

// poke leaves a message in a mailbox that holds one: more say nothing more.
func poke(box chan<- struct{}) {
	select {
	case box <- struct{}{}:
	default:
	}
}
