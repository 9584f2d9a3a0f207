package system_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/signal/client"
)

// metricsOf returns the values on a node's /metrics by name.
func metricsOf(t *testing.T, n *lab.Node) map[string]string {
	t.Helper()
	resp, err := http.Get(n.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(body)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && !strings.HasPrefix(line, "#") {
			values[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return values
}

func TestMetricsOfACall(t *testing.T) {
	n := lab.StartNode(t)
	speaker := join(t, n, n.MeetingID, client.JoinOptions{HostKey: n.HostKey}, client.Options{
		Publish: []*client.Publication{client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	listener := join(t, n, n.MeetingID, client.JoinOptions{}, client.Options{})
	lab.Until(t, 10*time.Second, "sound", func() bool { return listener.Timings().FirstAudio > 0 })
	for _, tc := range []struct {
		name string
		want string // empty: more than 0
	}{
		{"parley_rooms", "1"},
		{"parley_participants", "2"},
		{"parley_rtp_packets_received_total", ""},
		{"parley_rtp_packets_sent_total", ""},
		{"parley_bus_connected", "1"},
		{"process_resident_memory_bytes", ""},
		{"go_goroutines", ""},
	} {
		lab.Until(t, 5*time.Second, tc.name+" shows the call", func() bool {
			got := metricsOf(t, n)[tc.name]
			return got == tc.want || tc.want == "" && got != "" && got != "0"
		})
	}
	for name := range metricsOf(t, n) {
		if err := telemetry.ValidateName(name); err != nil && strings.HasPrefix(name, "parley") {
			t.Error(err)
		}
	}
	for _, c := range []*client.Client{speaker, listener} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	lab.Until(t, 5*time.Second, "nobody is left", func() bool { return metricsOf(t, n)["parley_participants"] == "0" })
	n.Stop(t)
}
