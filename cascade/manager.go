package cascade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/rtc"
)

// Config of the links of a node.
type Config struct {
	Heartbeat time.Duration `koanf:"heartbeat" yaml:"heartbeat"` // between signs of life on a link
	Missed    int           `koanf:"missed"    yaml:"missed"`    // heartbeats that may be missed before a link is dead
}

// Defaults finds a dead link within 150 ms.
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

// Directory knows the other nodes.
type Directory interface {
	Lookup(node string) (Address, bool)
}

// Introducer carries an introduction to another node and brings back its answer: the only use that links make of the
// message bus.
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
	running    sync.WaitGroup

	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // of Run, for links that are born while it runs
	links  map[string]*Link
	calls  map[string]bool // nodes that a link is being made to
	closed bool
}

// ErrBusy refuses an introduction because this node is introducing itself to the same node right now.
var ErrBusy = errors.New("a link to that node is being made")

// New returns the links of a node; there are none before Run. Handler gives the node's side of the links with a peer, the
// same for every link with it.
func New(node string, cfg Config, e *rtc.Endpoint, d Directory, i Introducer, handler func(peer string) Handler, log *slog.Logger) (*Manager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cascade: %w", err)
	}
	return &Manager{
		node: node, cfg: cfg, endpoint: e, directory: d, introducer: i, handler: handler, log: log,
		links: map[string]*Link{}, calls: map[string]bool{},
	}, nil
}

// Run lets links be made until ctx ends, and then ends them all.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.closed = true
	dying := slices.Collect(maps.Values(m.links))
	m.mu.Unlock()
	for _, l := range dying {
		l.die()
	}
	m.running.Wait()
	return nil
}

// Need makes sure that a link to a node is there or on its way. It does not block; the handler's Up tells.
func (m *Manager) Need(node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx == nil || m.closed || m.links[node] != nil || m.calls[node] {
		return
	}
	m.calls[node] = true
	ctx := m.ctx
	m.running.Go(func() {
		err := m.call(ctx, node)
		m.mu.Lock()
		delete(m.calls, node)
		m.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			m.log.Debug("no link", "peer_node", node, "error", err)
		}
	})
}

// call introduces this node to another and connects to it.
func (m *Manager) call(ctx context.Context, node string) error {
	address, ok := m.directory.Lookup(node)
	if !ok {
		return fmt.Errorf("node %s is not known", node)
	}
	l, err := m.bear(node)
	if err != nil {
		return err
	}
	answer, err := m.introduce(ctx, l)
	if err == nil {
		err = l.transport.Connect(rtc.Remote{Ufrag: answer.Ufrag, Password: answer.Password, Fingerprint: address.Fingerprint}, address.Media)
	}
	if err != nil {
		return errors.Join(err, l.transport.Close())
	}
	return m.adopt(l)
}

func (m *Manager) introduce(ctx context.Context, l *Link) (introduction, error) {
	var answer introduction
	own, err := m.own(l)
	if err != nil {
		return answer, err
	}
	b, err := json.Marshal(own)
	if err != nil {
		return answer, err
	}
	if b, err = m.introducer.Introduce(ctx, l.Peer, b); err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(b, &answer)
}

func (m *Manager) own(l *Link) (introduction, error) {
	ufrag, password, err := l.transport.Local()
	return introduction{From: m.node, Ufrag: ufrag, Password: password}, err
}

// Introduced answers another node's introduction. When both introduce themselves at the same time the lower id is the one
// that calls.
func (m *Manager) Introduced(b []byte) ([]byte, error) {
	var other introduction
	if err := json.Unmarshal(b, &other); err != nil {
		return nil, fmt.Errorf("introduction: %w", err)
	}
	address, ok := m.directory.Lookup(other.From)
	if !ok {
		return nil, fmt.Errorf("introduction: node %s is not known", other.From)
	}
	m.mu.Lock()
	busy := m.calls[other.From] && m.node < other.From
	m.mu.Unlock()
	if busy {
		return nil, ErrBusy
	}
	l, err := m.bear(other.From)
	if err != nil {
		return nil, err
	}
	own, err := m.own(l)
	if err == nil {
		err = l.transport.Start(rtc.Remote{Ufrag: other.Ufrag, Password: other.Password, Fingerprint: address.Fingerprint})
	}
	if err != nil {
		return nil, errors.Join(err, l.transport.Close())
	}
	if err := m.adopt(l); err != nil {
		return nil, err
	}
	return json.Marshal(own)
}

// bear makes a link that is not connected yet.
func (m *Manager) bear(node string) (*Link, error) {
	l := newLink(node, m.handler(node), m.cfg, m.log)
	var err error
	if l.transport, err = m.endpoint.NewTransport(l, l.log); err != nil {
		return nil, err
	}
	l.transport.Converse(l.converse)
	l.forget = func() { m.forget(l) }
	return l, nil
}

// adopt puts a link in the place of an older one with the same node, which is dead or about to be: a node calls only when
// it has none.
func (m *Manager) adopt(l *Link) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return errors.Join(errDead, l.transport.Close())
	}
	old := m.links[l.Peer]
	m.links[l.Peer] = l
	m.mu.Unlock()
	if old != nil {
		old.die()
	}
	m.running.Go(func() {
		l.watch()
		if err := l.transport.Close(); err != nil {
			l.log.Debug("close link", "error", err)
		}
	})
	return nil
}

// forget makes room for another link after l.
func (m *Manager) forget(l *Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links[l.Peer] == l {
		delete(m.links, l.Peer)
	}
}

// Links returns the links of this moment that are up.
func (m *Manager) Links() []*Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	var up []*Link
	for _, l := range m.links {
		if l.isUp() {
			up = append(up, l)
		}
	}
	return up
}
