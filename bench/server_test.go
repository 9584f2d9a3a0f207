package bench

import (
	"strings"
	"testing"
)

func TestReadingAddsServers(t *testing.T) {
	const text = `# HELP parley_rooms rooms
parley_rtp_packets_sent_total 120
parley_link_bytes_total{peer="b",direction="sent"} 1000
parley_link_bytes_total{peer="b",direction="received"} 7
parley_udp_sent_bytes 5e3
process_cpu_seconds_total 1.5
broken
go_goroutines many
`
	var sum reading
	for range 2 {
		if err := sum.add(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if want := (reading{cpu: 3, packets: 240, bytes: 10_000, linked: 2000}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
}
