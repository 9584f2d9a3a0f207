package cascade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/rtc"
)

// Config of the links of a node.
type Config struct {
	Heartbeat time.Duration `koanf:"heartbeat" yaml:"heartbeat"` // between signs of life on a link, of a node that serves something over it
	Missed    int           `koanf:"missed"    yaml:"missed"`    // heartbeats that may be missed before a link is dead
}

// Defaults finds a link whose other end has died between 150 and 200 ms after its last packet, if that served something, else within 2 s.
func Defaults() Config { return Config{Heartbeat: 50 * time.Millisecond, Missed: 3} }

// Validate reports all faults at once, each naming its key.
func (c Config) Validate() error {
	var faults []error
	if c.Heartbeat < 10*time.Millisecond || c.Heartbeat > 10*time.Second {
		faults = append(faults, errors.New("heartbeat: must be from 10ms to 10s"))
	}
	if c.Missed < 2 || c.Missed > 100 {
		faults = append(faults, errors.New("missed: must be from 2 to 100"))
	}
	return errors.Join(faults...)
}

// Address is what gossip says of another node.
type Address struct {
	Media       netip.AddrPort
	Fingerprint rtc.Fingerprint
}

// Directory knows the other nodes. It must not block.
type Directory interface {
	Lookup(node string) (Address, bool)
}

// Introducer carries an introduction to another node's Manager.Introduced and brings back its answer, until ctx ends: the
// only use that links make of messages. An introduction that arrives late, twice or not at all does no harm, so it may be
// sent over several ways at the same time.
type Introducer interface {
	Introduce(ctx context.Context, node string, introduction []byte) ([]byte, error)
}

// Manager makes the links of a node, one for each other node that it has to do with. It is safe for concurrent use.
type Manager struct {
	node       string
	cfg        Config
	endpoint   *rtc.Endpoint
	directory  Directory
	introducer Introducer
	handler    func(peer string) Handler
	log        *slog.Logger
	running    sync.WaitGroup // added to with mu held, while not closed

	mu         sync.Mutex
	ctx        context.Context //nolint:containedctx // of Run, for links that are born while it runs; nil before
	closed     bool
	neighbours map[string]*neighbour
}

var (
	// ErrBusy refuses an introduction because this node is introducing itself to the same node right now.
	ErrBusy = errors.New("a link to that node is being made")
	// ErrStopped refuses an introduction because Run has ended, or has not begun.
	ErrStopped = errors.New("no links are made now")
)

// New returns the links of a node; there are none before Run. Handler gives the node's side of the links with a peer, the
// same for every link with it.
func New(node string, cfg Config, e *rtc.Endpoint, d Directory, i Introducer, handler func(peer string) Handler, log *slog.Logger) (*Manager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cascade: %w", err)
	}
	return &Manager{
		node: node, cfg: cfg, endpoint: e, directory: d, introducer: i, handler: handler, log: log,
		neighbours: map[string]*neighbour{},
	}, nil
}

// Run lets links be made until ctx ends. Then it ends them all, tells the other nodes as long as the endpoint still runs,
// and returns when every Down has been told and every transport is closed.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	m.mu.Unlock()
	<-ctx.Done()
	var dying []*Link
	m.mu.Lock()
	m.closed = true
	for _, n := range m.neighbours {
		dying = append(dying, n.link, n.coming)
	}
	m.mu.Unlock()
	for _, l := range dying {
		if l != nil {
			l.die(ErrStopped)
		}
	}
	m.running.Wait()
	return nil
}

// Need makes sure that a link to a node is there or on its way. It does not block; the handler's Up tells. A link that
// could not be made is not tried again until it is needed again, and the less often the more often it failed.
func (m *Manager) Need(node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx == nil || m.closed || node == m.node {
		return
	}
	n := m.neighbourLocked(node)
	if n.link.alive() || n.coming.alive() || n.call != nil {
		return
	}
	ctx, cancel := context.WithCancel(m.ctx)
	c := &call{peer: node, cancel: cancel, wait: n.pauseLocked(time.Now())}
	n.call = c
	m.running.Go(func() {
		defer cancel()
		err := m.call(ctx, c)
		m.mu.Lock()
		if n.call == c {
			n.call = nil
		}
		m.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			m.log.Debug("no link", "peer_node", node, "error", err)
		}
	})
}

// Found says that gossip knows a node again. If there was anything to do with it before, a link is made at once, however
// often one could not be made meanwhile. It does not block.
func (m *Manager) Found(node string) {
	m.mu.Lock()
	n := m.neighbours[node]
	if n != nil {
		n.pause, n.next = 0, time.Time{}
		if n.call != nil && !n.call.speaking { // it waits for its time
			n.call.cancel()
			n.call = nil
		}
	}
	m.mu.Unlock()
	if n != nil {
		m.Need(node)
	}
}

// call introduces this node to another and connects to it.
func (m *Manager) call(ctx context.Context, c *call) error {
	if err := c.pause(ctx); err != nil {
		return err
	}
	address, ok := m.directory.Lookup(c.peer)
	if !ok {
		return fmt.Errorf("node %s is not known", c.peer)
	}
	l, err := m.bear(c.peer)
	if err != nil {
		return err
	}
	answer, err := m.introduce(ctx, c, l)
	if err == nil {
		err = m.adopt(l, c, nil)
	}
	if err != nil {
		return errors.Join(err, l.transport.Close())
	}
	err = l.transport.Connect(rtc.Remote{Ufrag: answer.Ufrag, Password: answer.Password, Fingerprint: address.Fingerprint}, address.Media)
	if err != nil {
		l.die(err)
	}
	return err
}

func (m *Manager) introduce(ctx context.Context, c *call, l *Link) (answer introduction, err error) {
	b, err := m.own(l)
	if err != nil {
		return answer, err
	}
	if !m.speak(c) {
		return answer, ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, birthTimeout)
	defer cancel()
	if b, err = m.introducer.Introduce(ctx, l.Peer, b); err != nil {
		return answer, fmt.Errorf("introduce: %w", err)
	}
	if answer, err = readIntroduction(b); err != nil {
		return answer, err
	}
	if answer.From != l.Peer {
		return answer, fmt.Errorf("introduction to %s was answered by %s", l.Peer, answer.From)
	}
	return answer, nil
}

// own is this end's introduction.
func (m *Manager) own(l *Link) ([]byte, error) {
	ufrag, password, err := l.transport.Local()
	if err != nil {
		return nil, err
	}
	return json.Marshal(introduction{From: m.node, Ufrag: ufrag, Password: password})
}

// Introduced answers another node's introduction. When both introduce themselves at the same time it is the lower id that
// calls: there it returns ErrBusy, and the other gives up its own call. One that comes again gets the answer that it got.
func (m *Manager) Introduced(b []byte) ([]byte, error) {
	other, err := readIntroduction(b)
	if err != nil {
		return nil, err
	}
	if own, err := m.repeated(other); own != nil || err != nil {
		return own, err
	}
	address, ok := m.directory.Lookup(other.From)
	if !ok || other.From == m.node {
		return nil, fmt.Errorf("introduction: node %s is not known", other.From)
	}
	l, err := m.bear(other.From)
	if err != nil {
		return nil, err
	}
	own, err := m.own(l)
	if err == nil {
		err = m.adopt(l, nil, &acquaintance{theirs: other, own: own, link: l})
	}
	if err != nil {
		err = errors.Join(err, l.transport.Close())
		if errors.Is(err, errRepeated) { // it came over two ways at the same moment
			if own, _ = m.repeated(other); own != nil {
				return own, nil
			}
		}
		return nil, err
	}
	err = l.transport.Start(rtc.Remote{Ufrag: other.Ufrag, Password: other.Password, Fingerprint: address.Fingerprint})
	if err != nil {
		l.die(err)
		return nil, err
	}
	return own, nil
}

// bear makes a link that is not connected yet. Until it is adopted, its transport is the caller's to close.
func (m *Manager) bear(node string) (*Link, error) {
	l := newLink(node, m.handler(node), m.cfg, m.log)
	l.rise = m.rise
	var err error
	if l.transport, err = m.endpoint.NewTransport(l, l.converse, l.log); err != nil {
		return nil, err
	}
	return l, nil
}

// Links returns the links of this moment that are up.
func (m *Manager) Links() []*Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	var up []*Link
	for _, n := range m.neighbours {
		if n.link != nil && n.link.isUp() {
			up = append(up, n.link)
		}
	}
	return up
}
