package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadingAdds(t *testing.T) {
	const text = `# HELP parley_rooms rooms
parley_rtp_packets_sent_total 120
parley_link_bytes_total{peer="b",direction="out"} 1000
parley_link_bytes_total{peer="c",direction="out"} 1000
parley_link_bytes_total{peer="b",direction="in"} 7
parley_udp_sent_bytes 5e3
process_cpu_seconds_total 1.5
broken
go_goroutines many
`
	var one reading
	if err := one.add(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if want := (reading{cpu: 1.5, packets: 120, bytes: 5000, linked: 2000}); one != want {
		t.Errorf("%+v, want %+v", one, want)
	}
}

// What servers do is counted since the first reading, one that dies keeps what it had, and one that comes back begins anew.
func TestMetersOutliveRestarts(t *testing.T) {
	cpu := map[string]float64{"/a": 10, "/b": 20}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, alive := cpu[r.URL.Path]; alive {
			fmt.Fprintf(w, "process_cpu_seconds_total %g\nprocess_resident_memory_bytes 100\n", v)
			return
		}
		http.Error(w, "dead", http.StatusBadGateway)
	}))
	defer server.Close()
	m := newMeters(newREST(server.URL, "", nil), []string{server.URL + "/a", server.URL + "/b"})
	for i, step := range []struct {
		a, b   float64 // 0: dead
		cpu    float64
		memory float64
	}{
		{10, 20, 0, 200},
		{11, 22, 3, 200},
		{12, 0, 4, 100},
		{12, 0.5, 4.5, 200},
		{13, 1, 6, 200},
	} {
		cpu["/a"], cpu["/b"] = step.a, step.b
		if step.b == 0 {
			delete(cpu, "/b")
		}
		got, err := m.read(t.Context())
		if err != nil || got.cpu != step.cpu || got.memory != step.memory {
			t.Errorf("reading %d: %+v %v, want %g s and %g bytes", i, got, err, step.cpu, step.memory)
		}
	}
	clear(cpu)
	if _, err := m.read(t.Context()); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("nobody answers: %v", err)
	}
}
