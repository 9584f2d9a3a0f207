package system_test

import (
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/signal/client"
)

func TestMetricsOfACall(t *testing.T) {
	n := lab.StartNode(t)
	speaker := join(t, n, n.MeetingID, client.JoinOptions{HostKey: n.HostKey}, client.Options{
		Publish: []*client.Publication{client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	listener := join(t, n, n.MeetingID, client.JoinOptions{}, client.Options{})
	lab.Until(t, 10*time.Second, "sound", func() bool { return listener.Timings().FirstAudio > 0 })
	for _, tc := range []struct {
		name string
		want float64 // 0: more than that
	}{
		{"parley_rooms", 1},
		{"parley_participants", 2},
		{"parley_rtp_packets_received_total", 0},
		{"parley_rtp_packets_sent_total", 0},
		{"parley_bus_connected", 1},
		{"process_resident_memory_bytes", 0},
		{"go_goroutines", 0},
	} {
		lab.Until(t, 5*time.Second, tc.name+" shows the call", func() bool {
			got := n.Metrics(t)[tc.name]
			return got == tc.want || tc.want == 0 && got > 0
		})
	}
	for name := range n.Metrics(t) {
		if err := telemetry.ValidateName(name); err != nil && strings.HasPrefix(name, "parley") {
			t.Error(err)
		}
	}
	for _, c := range []*client.Client{speaker, listener} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	lab.Until(t, 5*time.Second, "nobody is left", func() bool { return n.Metrics(t)["parley_participants"] == 0 })
	n.Stop(t)
}
