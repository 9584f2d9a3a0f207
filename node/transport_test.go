package node

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/webrtc/v4"
)

// TestWaysToConnect: media reaches clients that can do less than others.
func TestWaysToConnect(t *testing.T) {
	for name, tc := range map[string]struct {
		how    how
		over   string
		listen string
	}{
		"UDP with AES-GCM": {func(se *webrtc.SettingEngine) {
			se.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM)
		}, "udp", "127.0.0.1:0"},
		"UDP with AES-CM": {func(se *webrtc.SettingEngine) {
			se.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
		}, "udp", "127.0.0.1:0"},
		"TCP": {func(se *webrtc.SettingEngine) {
			se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
		}, "tcp", "127.0.0.1:0"},
		"UDP over IPv6": {func(se *webrtc.SettingEngine) {
			se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP6})
		}, "udp", "[::1]:0"},
		"every address": {func(se *webrtc.SettingEngine) {
			se.SetIncludeLoopbackCandidate(false)
		}, "udp", "0.0.0.0:0"},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNodeOn(t, tc.listen)
			alice, bob := join(t, n, "pt_alice", tc.how), join(t, n, "pt_bob", tc.how)
			track := alice.publish()
			alice.connect()
			bob.slots(1)
			bob.connect()
			alice.film(track)
			for range 50 {
				bob.next()
			}
			if got := bob.peer.transport.Over(); got != tc.over {
				t.Errorf("media goes over %q, want %q", got, tc.over)
			}
		})
	}
}

// TestNamedCandidatesAreIgnored: a client cannot make the node send anything to an address that it only names.
func TestNamedCandidatesAreIgnored(t *testing.T) {
	victim, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	track := alice.publish()
	alice.connect()
	bob.slots(1)
	bob.offerWith(func(sdp string) string {
		port := strings.TrimPrefix(victim.LocalAddr().String(), "127.0.0.1:")
		line := "a=candidate:1 1 udp 2130706431 127.0.0.1 " + port + " typ host\r\n"
		return strings.Replace(sdp, "a=recvonly\r\n", "a=recvonly\r\n"+line, 1)
	})
	alice.film(track)
	for range 100 {
		bob.next()
	}
	if err := victim.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if k, _, err := victim.ReadFrom(make([]byte, 1500)); err == nil {
		t.Errorf("%d bytes reached an address that was only named", k)
	}
}

// TestBehindNAT: a node behind a 1:1 NAT with ports of its own is reached from outside at what was configured, and from the
// same private network at its own address; who is told of the node's addresses is told of both.
func TestBehindNAT(t *testing.T) {
	outside, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 9, 9, 9)})
	if err != nil {
		t.Fatal(err)
	}
	public := outside.LocalAddr().String()
	n, _ := startStoppable(t, "127.0.0.1:0", nil, public)
	private := n.endpoint.Addr().String()
	if got := fmt.Sprint(n.Addresses()); got != "["+public+" "+private+"]" || n.Endpoint() != public {
		t.Errorf("addresses %s and endpoint %s", got, n.Endpoint())
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer outside.Close()
	passed := translate(&wg, outside, private)
	for name, keep := range map[string]string{"outside": "127.9.9.9", "inside": "127.0.0.1"} {
		t.Run(name, func(t *testing.T) {
			before := passed.Load()
			alice, bob := join(t, n, "pt_alice"+name), join(t, n, "pt_bob"+name)
			track := alice.publish()
			alice.connectWith(told("127.0.0.1"))
			bob.slots(1)
			bob.connectWith(told(keep))
			alice.film(track)
			for range 50 {
				bob.next()
			}
			if through := passed.Load() > before+50; name == "outside" && !through {
				t.Error("media did not go through the NAT")
			}
		})
	}
}

// told leaves of an answer's candidates only those with an address.
func told(address string) func(answer string) string {
	return func(answer string) string {
		var kept []string
		for line := range strings.Lines(answer) {
			if !strings.HasPrefix(line, "a=candidate") || strings.Contains(line, address) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}
}

// translate is a 1:1 NAT for one client: what comes from outside goes in, and the other way round.
func translate(wg *sync.WaitGroup, outside *net.UDPConn, private string) *atomic.Int64 {
	var passed atomic.Int64
	inside, err := net.Dial("udp4", private)
	if err != nil {
		return &passed
	}
	var client atomic.Pointer[net.UDPAddr]
	wg.Go(func() {
		defer inside.Close()
		for b := make([]byte, 2000); ; passed.Add(1) {
			k, from, err := outside.ReadFromUDP(b)
			if err != nil {
				return
			}
			client.Store(from)
			_, _ = inside.Write(b[:k])
		}
	})
	wg.Go(func() {
		for b := make([]byte, 2000); ; passed.Add(1) {
			k, err := inside.Read(b)
			if err != nil {
				return
			}
			_, _ = outside.WriteToUDP(b[:k], client.Load())
		}
	})
	return &passed
}
