package turn

import (
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// coturn's client exchanges data through the relay with an allowed peer, over every transport, and with nobody else.
func TestCoturnClient(t *testing.T) {
	if testing.Short() {
		t.Skip("coturn's client waits for seconds before it ends")
	}
	for _, tc := range []struct {
		name    string
		flags   []string
		allowed bool
	}{
		{"UDP, channels", nil, true},
		{"UDP, indications", []string{"-s"}, true},
		{"TCP, channels", []string{"-t"}, true},
		{"TCP, indications", []string{"-t", "-s"}, true},
		{"TLS, channels", []string{"-t", "-S"}, true},
		{"TLS, indications", []string{"-t", "-S", "-s"}, true},
		{"UDP, a peer that is not allowed", nil, false},
		{"TCP, a peer that is not allowed", []string{"-t"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			peer, next := echoPair(t)
			r := newRig(t, testConfig(), Deps{TLS: overTLSListener(t)})
			if tc.allowed {
				r.SetPeers([]netip.AddrPort{peer, next})
			}
			port := r.Addr().Port()
			if slices.Contains(tc.flags, "-S") {
				port = r.tlsAddr().Port()
			}
			user, password := r.credential("pt_coturn")
			flags := append(tc.flags, "-c", "-m", "3", "-n", "20", "-l", "200", "-z", "5", "-u", user, "-w", password,
				"-e", peer.Addr().String(), "-r", strconv.Itoa(int(peer.Port())), "-p", strconv.Itoa(int(port)), "127.0.0.1")
			out, err := exec.CommandContext(t.Context(), "turnutils_uclient", flags...).CombinedOutput()
			received := strings.Contains(string(out), "tot_recv_msgs=60") || strings.Contains(string(out), "tot_send_msgs=60, tot_recv_msgs=60")
			if received != tc.allowed {
				t.Errorf("received = %v, want %v (%v)\n%s", received, tc.allowed, err, out)
			}
		})
	}
}
