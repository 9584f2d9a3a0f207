package lab

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/transport/v4"

	"github.com/parley-sfu/parley/internal/lab/network"
	"github.com/parley-sfu/parley/signal/client"
)

// Last bytes of addresses in a region.
const (
	natsHost    = 1
	browserHost = 2
	firstNode   = 11
	firstClient = 101
	lastHost    = 254
)

const dialLimit = 5 * time.Second

// World is a few regions and the WAN between them, and what the test starts there: NATS in each of them, and nodes. It
// is gone when the test is over.
type World struct {
	Regions []*Region
	WAN     *WAN
	Voices  int // microphones that new nodes forward; 0: as many as by default

	secret, key string // of the API and of gossip
	homes       int    // made so far
	accesses    int    // of homes, made so far
	token       string // a user token, once there is a node
}

// Region is a network namespace with 254 addresses of its own. What is in it reaches the other regions over the WAN and
// nothing else.
type Region struct {
	Name      string
	Namespace string // for programs that are to run in it; see Browse
	NATS      *NATS
	Nodes     []*Node

	index   int
	prefix  netip.Prefix
	space   *namespace
	clients atomic.Int32 // that were given an address
}

// NewWorld makes a region for each name and a WAN between them. It needs to be root.
func NewWorld(tb testing.TB, each Path, names ...string) *World {
	tb.Helper()
	goFirst(tb)
	if err := os.RemoveAll(filepath.Join(artifacts(tb), tb.Name())); err != nil { // the logs of an earlier run
		tb.Fatal(err)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	w := &World{secret: rand.Text() + rand.Text(), key: base64.StdEncoding.EncodeToString(key)}
	w.WAN = startWAN(tb)
	for i, name := range names {
		r := &Region{Name: name, prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(i + 1), 0}), 24)}
		r.space = newNamespace(tb, name)
		r.Namespace = r.space.name
		r.space.ip(tb, "addr", "add", r.address(natsHost).String()+"/24", "dev", "lo") // all of the prefix is local now
		r.index = w.WAN.attach(tb, r.space, network.End{Prefix: r.prefix, Device: wanDevice, Path: each})
		r.space.ip(tb, "addr", "add", r.address(browserHost).String()+"/32", "dev", wanDevice) // browsers do not look at lo
		r.space.ip(tb, "route", "add", "10.77.0.0/16", "dev", wanDevice, "src", r.address(natsHost).String())
		w.Regions = append(w.Regions, r)
	}
	return w
}

// StartWorld makes a world with NATS clustered over all regions (in one region alone the first node has it embedded), and that
// many nodes in each, and waits until all of them are ready and know each other.
func StartWorld(tb testing.TB, each Path, nodes int, names ...string) *World {
	tb.Helper()
	w := NewWorld(tb, each, names...)
	w.Populate(tb, nodes)
	return w
}

// Populate is the second part of StartWorld.
func (w *World) Populate(tb testing.TB, nodes int) {
	tb.Helper()
	if len(w.Regions) > 1 {
		w.StartNATS(tb)
	}
	for _, r := range w.Regions {
		for range nodes {
			w.AddNode(tb, r)
		}
	}
	w.AwaitNodes(tb)
}

// busOf is the bus of a new node.
func (w *World) busOf(r *Region) map[string]any {
	switch {
	case r.NATS != nil:
		return map[string]any{"url": w.natsURLs(r), "token": w.secret, "replicas": min(3, len(w.Regions))}
	case len(w.Nodes()) == 0:
		return map[string]any{"listen": netip.AddrPortFrom(r.address(natsHost), natsPort).String(), "token": w.secret}
	default:
		return map[string]any{"url": natsURL(w.Nodes()[0].Region), "token": w.secret}
	}
}

// Nodes are the nodes of all regions.
func (w *World) Nodes() []*Node {
	var all []*Node
	for _, r := range w.Regions {
		all = append(all, r.Nodes...)
	}
	return all
}

// AddNode starts a node in the region and returns at once.
func (w *World) AddNode(tb testing.TB, r *Region) *Node {
	tb.Helper()
	return w.addNode(tb, r, nil)
}

// AddSecureNode is AddNode for a node that serves HTTPS, WebSocket and TURN on port 443, with a certificate of the authority's,
// and tells clients of nothing else for those.
func (w *World) AddSecureNode(tb testing.TB, r *Region, a *Authority) *Node {
	tb.Helper()
	return w.addNode(tb, r, a)
}

func (w *World) addNode(tb testing.TB, r *Region, a *Authority) *Node {
	tb.Helper()
	ip := r.address(firstNode + len(r.Nodes))
	r.space.ip(tb, "addr", "add", ip.String()+"/32", "dev", "lo") // for ICE-TCP it must be an interface's own
	gossip := netip.AddrPortFrom(ip, gossipPort).String()
	var seeds []string // the first nodes of all regions
	for _, other := range w.Regions {
		seeds = append(seeds, netip.AddrPortFrom(other.address(firstNode), gossipPort).String())
	}
	n := &Node{
		ID: fmt.Sprintf("%s-%d", r.Name, len(r.Nodes)+1), Region: r, DataDir: tb.TempDir(),
		URL: fmt.Sprintf("http://%s:%d", ip, httpPort), Media: netip.AddrPortFrom(ip, mediaPort), Token: w.token,
	}
	own := settings{
		id: n.ID, region: r.Name, listen: fmt.Sprintf("%s:%d", ip, httpPort), media: n.Media.String(), dir: n.DataDir, secret: w.secret,
		voices:  w.Voices,
		bus:     w.busOf(r),
		cluster: map[string]any{"listen": gossip, "join": seeds, "key": w.key},
	}
	if a != nil {
		at := fmt.Sprintf("%s:%d", ip, httpsPort)
		n.URL, n.TLS = "https://"+at, &TLS{
			Address: at, CertFile: filepath.Join(n.DataDir, "tls.crt"), KeyFile: filepath.Join(n.DataDir, "tls.key"), Roots: a.Roots,
		}
		a.Issue(tb, n.TLS.CertFile, n.TLS.KeyFile, ip.String())
		own.tls = map[string]any{"listen": at, "certificates": []map[string]any{{"cert_file": n.TLS.CertFile, "key_file": n.TLS.KeyFile}}}
	}
	n.config = own.write(tb)
	if w.token == "" {
		w.token = tokenFor(tb, n.config)
		n.Token = w.token
	}
	r.Nodes = append(r.Nodes, n)
	n.Start(tb)
	return n
}

// AwaitNodes waits until all nodes that run are ready and know each other.
func (w *World) AwaitNodes(tb testing.TB) {
	tb.Helper()
	running := slices.DeleteFunc(w.Nodes(), func(n *Node) bool { return !n.Running() })
	for _, n := range running {
		awaitReady(tb, n)
	}
	awaitAcquainted(tb, running)
	for _, n := range running {
		untilAsked(tb, readyLimit, n.ID+" trusts the tokens of all nodes", func() bool { return n.keys(tb) >= len(w.Nodes()) })
	}
}

// NewMeeting makes a meeting that guests may join, through the first node, and waits until all nodes can read it: the copies
// of the store follow one another a network delay later.
func (w *World) NewMeeting(tb testing.TB, title string) Meeting {
	tb.Helper()
	nodes := w.Nodes()
	m := nodes[0].NewMeeting(tb, title, nil)
	for _, n := range nodes {
		untilAsked(tb, readyLimit, n.ID+" can read the meeting", func() bool {
			status, err := n.TryCall(tb, http.MethodGet, "/v1/meetings/"+m.ID, nil, nil)
			return err == nil && status == http.StatusOK
		})
	}
	return m
}

// address is the region's address with that last byte.
func (r *Region) address(host int) netip.Addr {
	ip := r.prefix.Addr().As4()
	ip[3] = byte(host)
	return netip.AddrFrom4(ip)
}

// newClientAddress is an address that no client has had for long.
func (r *Region) newClientAddress() netip.Addr {
	n := int(r.clients.Add(1)-1) % (lastHost + 1 - firstClient)
	return r.address(firstClient + n)
}

// HTTPClient makes requests from an address of the region. It keeps no connection.
func (r *Region) HTTPClient() *http.Client { return r.httpClient(r.address(lastHost), nil) }

func (r *Region) httpClient(from netip.Addr, secure *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   secure,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return r.dial(ctx, from, address)
		},
	}}
}

// Do calls f on a thread that is in the region: the sockets that f opens stay there. f must not leave its goroutine for that.
func (r *Region) Do(f func() error) error { return r.space.do(f) }

// Dial opens a TCP connection from an address of the region.
func (r *Region) Dial(ctx context.Context, address string) (net.Conn, error) {
	return r.dial(ctx, r.address(lastHost), address)
}

// dial opens a TCP connection from an address of the region.
func (r *Region) dial(ctx context.Context, from netip.Addr, address string) (conn net.Conn, err error) {
	dialer := &net.Dialer{Timeout: dialLimit, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	err = r.space.do(func() error {
		conn, err = dialer.DialContext(ctx, "tcp4", address)
		return err
	})
	return conn, err
}

// Place has a client open all its sockets at an address of the region that is nobody else's.
func (r *Region) Place(opts *client.Options) {
	address := r.newClientAddress()
	opts.HTTPClient, opts.Net = r.httpClient(address, nil), &sockets{r.space, at(address)}
}

// Address is an address of the region that is nobody else's.
func (r *Region) Address() netip.Addr { return r.newClientAddress() }

// Run runs a server in the region, until it is stopped or the test is over.
func (r *Region) Run(tb testing.TB, command string, args ...string) *Process {
	tb.Helper()
	return startAs(tb, r.space.command(command, args...), filepath.Base(command)+"-"+r.Name)
}

// ListenUDP opens a socket at an address of the region that is nobody else's, for as long as the test runs. It has room for
// what comes while the test is busy.
func (r *Region) ListenUDP(tb testing.TB) *net.UDPConn {
	tb.Helper()
	var conn *net.UDPConn
	err := r.space.do(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.newClientAddress(), 0)))
		return err
	})
	if err == nil {
		err = forceReadBuffer(conn, 16<<20)
	}
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Join brings a client that is in this region into a meeting through exactly that node, and takes it out when the test is
// over. All its sockets are at one address of the region; its other candidates stay for when the node dies.
func (r *Region) Join(tb testing.TB, n *Node, meeting string, how client.JoinOptions, opts client.Options) *client.Client {
	tb.Helper()
	address := r.newClientAddress()
	how.HTTPClient = r.httpClient(address, n.secure())
	return join(tb, n, meeting, how, opts, &sockets{r.space, at(address)})
}

// join brings a client into a meeting through exactly that node, and takes it out when the test is over.
func join(tb testing.TB, n *Node, meeting string, how client.JoinOptions, opts client.Options, net transport.Net) *client.Client {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	if how.Region == "" {
		how.Region = n.Region.Name
	}
	ticket, err := client.JoinMeeting(ctx, n.URL, meeting, how)
	if err != nil {
		tb.Fatalf("lab: join through %s: %v", n.ID, err)
	}
	n.first(&ticket)
	opts.HTTPClient, opts.TLS, opts.Net = how.HTTPClient, n.secure(), net
	c, err := client.Connect(ctx, ticket, opts)
	if err != nil {
		tb.Fatalf("lab: connect to %s: %v", n.ID, err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// first makes the node the first candidate of a ticket. The one that was first becomes an alternate.
func (n *Node) first(ticket *client.Ticket) {
	was := client.Endpoints{Region: ticket.Region, SFUEndpoint: ticket.SFUEndpoint, SignalEndpoint: ticket.SignalEndpoint}
	ticket.Region, ticket.SFUEndpoint, ticket.SignalEndpoint = n.Region.Name, n.Media.String(), n.SignalURL()
	if was.SignalEndpoint == ticket.SignalEndpoint {
		return
	}
	rest := slices.DeleteFunc(ticket.Alternates, func(e client.Endpoints) bool { return e.SignalEndpoint == ticket.SignalEndpoint })
	ticket.Alternates = append([]client.Endpoints{was}, rest...)
}
