package system_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/internal/udp"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/client"
)

// echoSFU is a node of the cluster, as far as gossip knows, whose media port sends back whatever comes.
func echoSFU(t *testing.T, n *lab.Node, id string, port uint16) netip.AddrPort {
	t.Helper()
	at := echoAt(t, port)
	cluster, err := placement.New(placement.Config{NodeID: id, Region: "echo", Listen: "127.0.0.1:0", Join: []string{n.Gossip}}, placement.Node{
		Media: at, Roles: []string{placement.RoleMedia}, Draining: true, // nobody is sent there
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cluster.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	lab.Until(t, 20*time.Second, "gossip knows the echo", func() bool { return slices.Contains(n.Known(t), id) })
	return at
}

// echoAt sends back whatever comes to a loopback port; 0: any.
func echoAt(t *testing.T, port uint16) netip.AddrPort {
	t.Helper()
	conn, err := udp.Listen(udp.Config{Listen: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), ReceiveBuffer: 4 << 20, SendBuffer: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ms := make([]udp.Message, 64)
		for i := range ms {
			ms[i].Buf = make([]byte, 2048)
		}
		for {
			n, err := conn.Read(ms)
			if err != nil {
				return
			}
			for _, m := range ms[:n] {
				_, _ = conn.WriteTo(m.Buf[:m.N], m.From)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr()
}

// relayTicket is what the join call says of relays.
type relayTicket struct {
	address        netip.AddrPort
	user, password string
}

func relayTicketFor(t *testing.T, n *lab.Node, meeting string) relayTicket {
	t.Helper()
	var joined struct {
		ICEServers []struct {
			URLs       []string `json:"urls"`
			Username   string   `json:"username"`
			Credential string   `json:"credential"`
		} `json:"ice_servers"`
	}
	if status := n.Call(t, http.MethodPost, "/v1/meetings/"+meeting+"/join", map[string]any{}, &joined); status != http.StatusOK {
		t.Fatalf("join = %d", status)
	}
	for _, s := range joined.ICEServers {
		for _, url := range s.URLs {
			if rest, ok := strings.CutPrefix(url, "turn:"); ok {
				address, _, _ := strings.Cut(rest, "?")
				return relayTicket{netip.MustParseAddrPort(address), s.Username, s.Credential}
			}
		}
	}
	t.Fatalf("the join call names no relay: %+v", joined)
	return relayTicket{}
}

// sender is a client with an allocation and a channel to a peer. What it sends is not built anew for each packet.
type sender struct {
	conn     net.Conn
	stream   *bufio.Reader // nil over UDP
	received atomic.Int64
}

// read returns the next message, in b.
func (s *sender) read(b []byte) ([]byte, error) {
	if s.stream == nil {
		n, err := s.conn.Read(b)
		return b[:n], err
	}
	if _, err := io.ReadFull(s.stream, b[:4]); err != nil {
		return nil, err
	}
	size := 4 + int(binary.BigEndian.Uint16(b[2:]))
	if b[0] < 4 {
		size += 16 // of a STUN message's header
	}
	_, err := io.ReadFull(s.stream, b[4:size])
	return b[:size], err
}

const callerChannel = 0x4000

func relayed(t *testing.T, network string, with relayTicket, peer netip.AddrPort) *sender {
	t.Helper()
	conn, err := net.Dial(network, with.address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &sender{conn: conn}
	if udp, ok := conn.(*net.UDPConn); ok {
		_ = udp.SetReadBuffer(1 << 20)
	} else {
		c.stream = bufio.NewReaderSize(conn, 1<<16)
	}
	var nonce, realm []byte
	ask := func(method stun.Method, attrs ...stun.Setter) {
		for {
			setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
			if nonce != nil {
				setters = append(setters, stun.NewUsername(with.user), stun.Realm(realm), stun.Nonce(nonce),
					stun.NewLongTermIntegrity(with.user, string(realm), with.password))
			}
			m := stun.MustBuild(setters...)
			if _, err := conn.Write(m.Raw); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			b, err := c.read(make([]byte, 2048))
			if err != nil {
				t.Fatal(err)
			}
			got := &stun.Message{Raw: b}
			if err := got.Decode(); err != nil {
				t.Fatal(err)
			}
			if got.Type.Class == stun.ClassSuccessResponse {
				return
			}
			if nonce != nil {
				t.Fatalf("%s: %s", method, got)
			}
			nonce, _ = got.Get(stun.AttrNonce)
			realm, _ = got.Get(stun.AttrRealm)
		}
	}
	ask(stun.MethodAllocate, raw{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}})
	ask(stun.MethodChannelBind, raw{stun.AttrChannelNumber, []byte{callerChannel >> 8, 0, 0, 0}}, peerAddress(peer))
	_ = conn.SetReadDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			if _, err := c.read(b); err != nil {
				return
			}
			c.received.Add(1)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return c
}

// raw is an attribute as it is.
type raw struct {
	attr  stun.AttrType
	value []byte
}

// AddTo implements stun.Setter.
func (r raw) AddTo(m *stun.Message) error {
	m.Add(r.attr, r.value)
	return nil
}

type peerAddress netip.AddrPort

// AddTo implements stun.Setter.
func (p peerAddress) AddTo(m *stun.Message) error {
	at := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: at.Addr().AsSlice(), Port: int(at.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

func channelData(size int) []byte {
	b := make([]byte, 4+size)
	binary.BigEndian.PutUint16(b, callerChannel)
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	return b
}

// startCoturn runs coturn beside Parley, with as little to do besides relaying as it can be told.
func startCoturn(t *testing.T) (*lab.Process, relayTicket) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	conn.Close()
	p := lab.Start(t, "turnserver", "-n", "--no-cli", "--allow-loopback-peers", "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1",
		"--listening-port", strconv.Itoa(int(at.Port())), "--no-tls", "--no-dtls", "--lt-cred-mech", "--user", "u:p", "--realm", "r",
		"--log-file", "/dev/null", "--pidfile", t.TempDir()+"/pid", "--db", t.TempDir()+"/db")
	lab.Until(t, 10*time.Second, "coturn listens", func() bool {
		probe, err := net.Dial("tcp", at.String())
		if err == nil {
			probe.Close()
		}
		return err == nil
	})
	return p, relayTicket{at, "u", "p"}
}

// coturn's client goes through the relay of a whole node, with what the join call gave it, to a peer that gossip knows; and to
// nobody else, be it on the same machine and as much Parley's as its REST port.
func TestRelayServesCoturnsClient(t *testing.T) {
	n := lab.StartCluster(t, 1)[0]
	var peer netip.AddrPort
	lab.Until(t, 10*time.Second, "two neighbouring ports", func() bool { // coturn's client asks for the one above its peer's as well
		probe, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		peer = probe.LocalAddr().(*net.UDPAddr).AddrPort()
		next, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", peer.Port()+1))
		probe.Close()
		if err == nil {
			next.Close()
		}
		return err == nil
	})
	echoSFU(t, n, "echo", peer.Port())
	echoSFU(t, n, "echo-next", peer.Port()+1)
	meeting := n.NewMeeting(t, "Relay", nil)
	rest, _ := strings.CutPrefix(n.URL, "http://")
	for _, tc := range []struct {
		name    string
		peer    netip.AddrPort
		flags   []string
		allowed bool
	}{
		{"UDP", peer, nil, true},
		{"UDP, indications", peer, []string{"-s"}, true},
		{"TCP", peer, []string{"-t"}, true},
		{"TCP, indications", peer, []string{"-t", "-s"}, true},
		{"to the REST port", netip.MustParseAddrPort(rest), nil, false},
		{"to the REST port by indications", netip.MustParseAddrPort(rest), []string{"-s"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			with := relayTicketFor(t, n, meeting.ID)
			args := append(tc.flags, "-c", "-m", "2", "-n", "50", "-l", "1000", "-z", "5", "-u", with.user, "-w", with.password,
				"-e", tc.peer.Addr().String(), "-r", fmt.Sprint(tc.peer.Port()), "-p", fmt.Sprint(with.address.Port()), with.address.Addr().String())
			out, err := exec.CommandContext(t.Context(), "turnutils_uclient", args...).CombinedOutput()
			if got := strings.Contains(string(out), "tot_recv_msgs=100"); got != tc.allowed {
				t.Errorf("all came back: %v, want %v (%v)\n%s", got, tc.allowed, err, out)
			}
		})
	}
}

// Who is removed from a meeting loses the relay at once, and those who stay keep it.
func TestARemovedParticipantLosesTheRelay(t *testing.T) {
	n := lab.StartCluster(t, 1)[0]
	peer := echoSFU(t, n, "echo", 0)
	meeting := n.NewMeeting(t, "Relay", nil)
	enter := func(name string) (participant string, with relayTicket) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		ticket, err := client.JoinMeeting(ctx, n.URL, meeting.ID, client.JoinOptions{DisplayName: name})
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.Connect(ctx, ticket, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		go drain(c)
		for _, s := range ticket.ICEServers {
			if s.Username != "" {
				address, _, _ := strings.Cut(strings.TrimPrefix(s.URLs[0], "turn:"), "?")
				return ticket.ParticipantID, relayTicket{netip.MustParseAddrPort(address), s.Username, s.Credential}
			}
		}
		t.Fatalf("no relay: %+v", ticket.ICEServers)
		return "", relayTicket{}
	}
	goes, with := enter("goes")
	_, withOther := enter("stays")
	leaving, staying := relayed(t, "udp", with, peer), relayed(t, "udp", withOther, peer)
	flows := func(c *sender) bool {
		before := c.received.Load()
		for range 20 {
			_, _ = c.conn.Write(channelData(100))
			time.Sleep(10 * time.Millisecond)
		}
		return c.received.Load() > before
	}
	if !flows(leaving) || !flows(staying) {
		t.Fatal("nothing is relayed")
	}
	if status := n.Call(t, http.MethodPost, "/v1/meetings/"+meeting.ID+"/participants/"+goes+"/remove", nil, nil); status >= http.StatusBadRequest {
		t.Fatalf("remove = %d", status)
	}
	lab.Until(t, 5*time.Second, "the relay is closed to who was removed", func() bool { return !flows(leaving) })
	if !flows(staying) {
		t.Error("the relay is closed to who stays")
	}
}

// A relayed packet costs Parley's process no more than coturn's: both relay the same load in turns.
func TestRelayCost(t *testing.T) {
	const (
		senders = 20
		most    = 1.5
	)
	rounds := either(5, 3)
	n := lab.StartCluster(t, 1)[0]
	peer := echoSFU(t, n, "echo", 0)
	meeting := n.NewMeeting(t, "Relay", map[string]any{"max_participants": 4 * senders})
	coturn, ticket := startCoturn(t)
	contenders := []struct {
		name    string
		process *lab.Process
		senders map[string][]*sender
	}{{"parley", n.Process, map[string][]*sender{}}, {"coturn", coturn, map[string][]*sender{}}}
	for _, network := range []string{"udp", "tcp"} {
		for range senders {
			contenders[0].senders[network] = append(contenders[0].senders[network], relayed(t, network, relayTicketFor(t, n, meeting.ID), peer))
			contenders[1].senders[network] = append(contenders[1].senders[network], relayed(t, network, ticket, peer))
		}
	}
	figures := newTable(t, "packets", "a second", "parley", "coturn", "ratio", "lost", "")
	for _, load := range []struct {
		network                string
		size, burst, perSecond int
	}{
		{"udp", 1100, 1, 4000}, {"udp", 1100, 8, 16000}, {"udp", 200, 1, 4000}, {"udp", 200, 4, 16000}, {"tcp", 1100, 1, 4000}, {"tcp", 200, 4, 8000},
	} {
		cost := map[string][]float64{}
		lost := map[string]int64{}
		for range rounds {
			for _, c := range contenders {
				before := c.process.CPU(t)
				sent, received := burden(c.senders[load.network], load.size, load.burst, load.perSecond, time.Second)
				cost[c.name] = append(cost[c.name], float64((c.process.CPU(t)-before).Microseconds())/float64(sent+received))
				lost[c.name] += sent - received
			}
		}
		ours, theirs := median(cost["parley"]), median(cost["coturn"])
		ratio := ours / theirs
		figures.add(fmt.Sprintf("%s, %d bytes, bursts of %d", load.network, load.size, load.burst), load.perSecond, fmt.Sprintf("%.2f µs", ours), fmt.Sprintf("%.2f µs", theirs),
			fmt.Sprintf("%.2f", ratio), fmt.Sprint(lost["parley"], " / ", lost["coturn"]), verdict(ratio <= most))
		if ratio > most {
			t.Errorf("%s, %d bytes: %.2f times coturn's cost", load.network, load.size, ratio)
		}
	}
}

// burden has all senders send at a rate that they share, each in bursts, and returns how many packets went out and came back.
func burden(senders []*sender, size, burst, perSecond int, long time.Duration) (sent, received int64) {
	packet := channelData(size)
	for _, c := range senders {
		c.received.Store(0)
	}
	begin := time.Now()
	for due := 0; ; {
		elapsed := time.Since(begin)
		if elapsed >= long {
			break
		}
		for want := int(elapsed.Seconds() * float64(perSecond)); due+burst <= want; due += burst {
			c := senders[due/burst%len(senders)]
			for range burst {
				if _, err := c.conn.Write(packet); err == nil {
					sent++
				}
			}
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // what is on the way
	for _, c := range senders {
		received += c.received.Load()
	}
	return sent, received
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
