package turn

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func seeds() [][]byte {
	var all [][]byte
	for _, method := range []uint16{methodBinding, methodAllocate, methodRefresh, methodCreatePermission, methodChannelBind} {
		w := newWriter(nil, method, classRequest, [transactionID]byte{1, 2, 3})
		w.attr(attrUsername, []byte("1795667563:pt_1"))
		w.attr(attrRealm, []byte("parley"))
		w.attr(attrNonce, []byte("nonce"))
		w.attr(attrTransport, []byte{transportUDP, 0, 0, 0})
		w.attr32(attrLifetime, 600)
		w.attr32(attrChannelNumber, minChannel<<16)
		w.address(attrPeerAddress, netip.MustParseAddrPort("127.0.0.1:7881"))
		w.address(attrPeerAddress, netip.MustParseAddrPort("[::ffff:127.0.0.1]:7881"))
		w.sign([]byte("key"))
		all = append(all, w.bytes())
	}
	w := newWriter(nil, methodSend, classIndication, [transactionID]byte{1, 2, 3})
	w.address(attrPeerAddress, netip.MustParseAddrPort("[2001:db8::1]:7881"))
	w.attr(attrData, []byte("data"))
	bare := newWriter(nil, methodBinding, classRequest, [transactionID]byte{1, 2, 3})
	return append(all, w.bytes(), bare.bytes(), []byte{0x40, 0, 0, 4, 1, 2, 3, 4}, []byte{0x40, 0, 0xFF, 0xFF})
}

// What is understood of a message is what pion is given, and pion's own eyes would see the same.
func FuzzMessage(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	d := &door{s: &Server{cfg: Defaults()}}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parseMessage(b)
		if !ok {
			return
		}
		signed := m.integrity != 0 // a message of nothing but a header has none
		if len(m.peers) > maxPeers || len(m.unknown) > maxAttributes || signed && m.integrity > len(b)-attrHeader-integritySize {
			t.Fatalf("more than allowed: %+v", m)
		}
		m.signed([]byte("key"))
		if !known(m.method) || m.class != classRequest || len(m.username) > maxUsername || len(m.nonce) > maxNonce {
			return
		}
		r := &request{msg: m, key: []byte("key")}
		d.rewrite(r)
		again, ok := parseMessage(r.raw)
		if !ok || !again.signed(r.key) || again.method != m.method || again.username != m.username || again.transaction != m.transaction {
			t.Fatalf("%x is rewritten to %x, which is another request", b, r.raw)
		}
		if len(r.raw) >= maxMessage {
			t.Fatalf("a request of %d bytes for pion", len(r.raw))
		}
		if m.method == methodCreatePermission || m.method == methodChannelBind {
			if len(again.peers) != len(m.peers) || again.channel != m.channel {
				t.Fatalf("%+v is rewritten to %+v", m, again)
			}
			for i := range m.peers {
				if again.peers[i] != m.peers[i] {
					t.Fatalf("peer %s is rewritten to %s", m.peers[i], again.peers[i])
				}
			}
		}
	})
}

func FuzzUsername(f *testing.F) {
	for _, s := range []string{"1795667563:pt_1", ":", "0:x", "-1:x", "99999999999999999999:x", "1:a:b", "１:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		expires, participant, ok := parseUsername(s)
		if ok && (participant == "" || expires.Unix() < 0 || len(s) > maxUsername) {
			t.Fatalf("%q: %v, %q", s, expires, participant)
		}
		if ok && strconv.FormatInt(expires.Unix(), 10)+":"+participant != s && s[0] != '0' {
			t.Fatalf("%q is read as %d:%s", s, expires.Unix(), participant)
		}
	})
}

// Whatever comes as a datagram, the relay answers the next one, and relays to nobody.
func FuzzDatagram(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	r := newRigWith(f, testConfig(), Deps{}, func(s *Server) { s.pace.perAddress, s.pace.all = 1<<30, 1<<30 })
	a := newAgent(f, r, "udp", "pt_1")
	f.Fuzz(func(t *testing.T, b []byte) {
		a.t = t
		a.conn.Write(b)
		if _, ok := a.once(methodBinding, nil, 2*time.Second); !ok {
			t.Fatalf("no answer after %x", b)
		}
		if r.allocations.len() != 0 {
			t.Fatalf("%x made an allocation", b)
		}
	})
}

// Whatever comes over a connection, the relay takes the next one.
func FuzzStream(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Add(bytes.Join(seeds(), nil))
	r := newRigWith(f, testConfig(), Deps{}, func(s *Server) {
		s.pace.perAddress, s.pace.all, s.firstMessage = 1<<30, 1<<30, 100*time.Millisecond
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		conn, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			return // the machine is out of ports
		}
		defer conn.Close()
		conn.(*net.TCPConn).SetLinger(0)
		conn.Write(b)
		conn.(*net.TCPConn).CloseWrite()
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 4096)
		for {
			if _, err := conn.Read(buf); err != nil {
				if isTimeout(err) {
					t.Fatalf("%x: the connection stays", b)
				}
				break
			}
		}
		if r.allocations.len() != 0 {
			t.Fatalf("%x made an allocation", b)
		}
	})
}

func FuzzURLs(f *testing.F) {
	f.Add("192.0.2.1:3478", "s:turn.example.org:5349")
	f.Add("[2001:db8::1]:3478", "s:")
	f.Fuzz(func(t *testing.T, a, b string) {
		stun, turn := URLs([]string{a, b})
		if len(stun)+len(turn) > maxURLs {
			t.Fatalf("%q %q", stun, turn)
		}
		for _, url := range append(stun, turn...) {
			for _, r := range url {
				if r <= ' ' || r > '~' || r == '"' || r == '<' {
					t.Fatalf("%q", url)
				}
			}
		}
	})
}

// An address comes out of a message as it went in, IPv4-mapped ones included.
func TestAddressesArriveAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		at := netip.AddrFrom16([16]byte(raw))
		if rapid.Bool().Draw(t, "IPv4") {
			at = netip.AddrFrom4([4]byte(raw[:4]))
		} else if rapid.Bool().Draw(t, "mapped") {
			at = netip.AddrFrom16(netip.AddrFrom4([4]byte(raw[:4])).As16())
		}
		want := netip.AddrPortFrom(at, rapid.Uint16().Draw(t, "port"))
		w := newWriter(nil, methodCreatePermission, classRequest, randomTransaction())
		w.address(attrPeerAddress, want)
		m, ok := parseMessage(w.bytes())
		if !ok || len(m.peers) != 1 || m.peers[0] != want {
			t.Fatalf("%v, %v, want %s", m.peers, ok, want)
		}
	})
}

// The allow-list is what was named within the time of grace, and nothing else.
func TestAllowListProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		list := newAllowList(func() time.Time { return now }, time.Minute)
		last := map[netip.AddrPort]time.Time{}
		var named []netip.AddrPort
		peer := rapid.Custom(func(t *rapid.T) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteRange(1, 4).Draw(t, "host")}), uint16(rapid.IntRange(1, 2).Draw(t, "port")))
		})
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			for _, p := range named {
				last[p] = now
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "gossip") {
				named = rapid.SliceOfN(peer, 0, 4).Draw(t, "peers")
				list.set(named)
			} else {
				list.age()
			}
			for _, p := range named {
				last[p] = now
			}
			for p, at := range last {
				if want := now.Sub(at) <= time.Minute; list.allows(p) != want {
					t.Fatalf("%s, named %s ago: %v", p, now.Sub(at), !want)
				}
				mapped := netip.AddrPortFrom(netip.AddrFrom16(p.Addr().As16()), p.Port())
				if list.allows(mapped) || list.allows(netip.AddrPortFrom(p.Addr(), p.Port()+2)) {
					t.Fatalf("%s in another form or at another port", p)
				}
			}
		}
	})
}

func TestQuotaProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQuota(10, 3, 5)
		type holder struct {
			name string
			from netip.Addr
		}
		var held []holder
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "give") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				q.give(held[i].name, held[i].from)
				held = append(held[:i], held[i+1:]...)
				continue
			}
			h := holder{rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name"), netip.AddrFrom16([16]byte{0x20, 1, 7: byte(rapid.IntRange(0, 2).Draw(t, "net")), 15: rapid.Byte().Draw(t, "host")})}
			names, nets := 0, 0
			for _, other := range held {
				if other.name == h.name {
					names++
				}
				if other.from.As16()[7] == h.from.As16()[7] {
					nets++
				}
			}
			want := len(held) < 10 && names < 3 && nets < 5
			if got := q.take(h.name, h.from); got != want {
				t.Fatalf("take = %v with %d held, %d of the name, %d of the /64", got, len(held), names, nets)
			}
			if want {
				held = append(held, h)
			}
		}
		for _, h := range held {
			q.give(h.name, h.from)
		}
		if q.len() != 0 || len(q.names) != 0 || len(q.addresses) != 0 {
			t.Fatalf("something is left: %+v", q)
		}
	})
}
