package node

import (
	"net"
	"strings"
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
