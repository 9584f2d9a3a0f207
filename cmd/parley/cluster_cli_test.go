package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/api"
)

// The commands against a whole node: it is drained and undrained, and says so itself.
func TestClusterCommandsAskARealNode(t *testing.T) {
	w, stop := startDev(t, t.TempDir())
	defer stop()
	ask := func(args ...string) string {
		t.Helper()
		code, out, err := parley(t, append(args, "--url", w.URL, "--dev")...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d: %s", args, code, err)
		}
		return out
	}
	var answer struct {
		Nodes []api.ClusterNode `json:"nodes"`
	}
	read := func() api.ClusterNode {
		t.Helper()
		if err := json.Unmarshal([]byte(ask("nodes", "--json")), &answer); err != nil || len(answer.Nodes) != 1 {
			t.Fatalf("nodes = %+v, %v", answer.Nodes, err)
		}
		return answer.Nodes[0]
	}
	self := read()
	if !self.Self || self.Draining || self.Region == "" || !strings.HasPrefix(self.SignalEndpoint, "ws://127.0.0.1:") {
		t.Errorf("node = %+v", self)
	}
	if out := ask("nodes"); !strings.HasPrefix(out, "NODE") || !strings.Contains(out, self.ID) || !strings.Contains(out, "serving") {
		t.Errorf("nodes:\n%s", out)
	}
	if out := ask("rooms"); out != "MEETING  NODE  PARTICIPANTS  HOME\n" {
		t.Errorf("rooms:\n%s", out)
	}
	if out := ask("links", "--json"); !strings.Contains(out, `"links":[]`) {
		t.Errorf("links: %s", out)
	}

	if out := ask("drain", self.ID); !strings.Contains(out, "draining") || !read().Draining {
		t.Errorf("drain: %s, node = %+v", out, answer.Nodes[0])
	}
	if status, body := get(t, w.URL+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"draining"`) {
		t.Errorf("readyz of a draining node = %d %s", status, body)
	}
	if out := ask("undrain", self.ID); !strings.Contains(out, "takes new joins") || read().Draining {
		t.Errorf("undrain: %s, node = %+v", out, answer.Nodes[0])
	}
	if status, body := get(t, w.URL+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz after undrain = %d %s", status, body)
	}
	if code, _, err := parley(t, "drain", "no such/node", "--url", w.URL, "--dev"); code != exitFailed || !strings.Contains(err, "404") {
		t.Errorf("drain of nobody: exit code %d, %s", code, err)
	}
	if code, _, err := parley(t, "nodes", "--url", w.URL, "--token", "x"); code != exitFailed || !strings.Contains(err, "token_invalid") {
		t.Errorf("a bad token: exit code %d, %s", code, err)
	}
	if code, out, err := parley(t, "nodes", "--url", w.URL+"/", "--token", w.Token); code != exitOK || !strings.Contains(out, self.ID) {
		t.Errorf("the token that dev prints: exit code %d, %s", code, err)
	}
}

// The tables of a cluster that is larger than one process.
func TestClusterTables(t *testing.T) {
	answers := map[string]string{
		"/v1/cluster/nodes": `{"nodes":[
			{"id":"eu-1","region":"eu","sfu_endpoint":"192.0.2.1:7881","signal_endpoint":"wss://eu-1/v1/signal","roles":[],"version":"","draining":true,
			 "load":{"cpu":0.256,"packets_per_second":1200.4,"bits_per_second":9600000,"participants":12},"self":true},
			{"id":"us-1","region":"us","sfu_endpoint":"192.0.2.2:7881","signal_endpoint":"wss://us-1/v1/signal","roles":["api","media"],"version":"1.2.3",
			 "draining":false,"load":{"cpu":0,"packets_per_second":0,"bits_per_second":0,"participants":0},"self":false}]}`,
		"/v1/cluster/rooms": `{"rooms":[{"meeting_id":"mtg_a","node":"eu-1","participants":7,"home":true}],"silent":[]}`,
		"/v1/cluster/links": `{"links":[
			{"node":"eu-1","peer":"us-1","region":"us","up":true,"sent_bytes":1099511627776,"received_bytes":3,
			 "role":"parent","rtt_ms":80.4,"pulled_tracks":2,"pulled_layers":3,"served_tracks":0,"served_layers":0},
			{"node":"us-2","peer":"eu-1","region":"","up":false,"sent_bytes":0,"received_bytes":0}],"silent":["us-3"]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer a-token" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte(answers[r.URL.Path]))
	}))
	defer server.Close()
	for _, tc := range []struct {
		command string
		rows    []string
	}{
		{"nodes", []string{
			"NODE REGION STATE ROLES VERSION CPU MBIT/S PACKETS/S PARTICIPANTS MEDIA",
			"eu-1 eu draining all - 26% 9.6 1200 12 192.0.2.1:7881", "us-1 us serving api,media 1.2.3 0% 0.0 0 0 192.0.2.2:7881",
		}},
		{"rooms", []string{"MEETING NODE PARTICIPANTS HOME", "mtg_a eu-1 7 home"}},
		{"links", []string{
			"NODE PEER REGION STATE ROLE RTT LAYERS IN LAYERS OUT SENT RECEIVED", "eu-1 us-1 us up parent 80 ms 3 0 1099511627776 3",
			"us-2 eu-1 - down standby 0 ms 0 0 0 0",
		}},
	} {
		t.Run(tc.command, func(t *testing.T) {
			code, out, err := parley(t, tc.command, "--url", server.URL, "--token", "a-token")
			lines := strings.Split(strings.TrimSpace(out), "\n")
			for i, line := range lines {
				lines[i] = strings.Join(strings.Fields(line), " ")
			}
			if got, want := strings.Join(lines, "\n"), strings.Join(tc.rows, "\n"); code != exitOK || got != want {
				t.Errorf("exit code %d, %s\n%s\nwant\n%s", code, err, got, want)
			}
			if code, out, _ := parley(t, tc.command, "--json", "--url", server.URL, "--token", "a-token"); code != exitOK || strings.TrimSpace(out) != answers["/v1/cluster/"+tc.command] {
				t.Errorf("--json: exit code %d, %s", code, out)
			}
		})
	}
}

// A drain waits until nobody is left, or for as long as it was told, and its exit code says which.
func TestDrainWaits(t *testing.T) {
	for _, tc := range []struct {
		name   string
		left   []int // as the node answers; the last one from then on
		args   []string
		code   int
		stdout string
	}{
		{"nobody is on it", []int{0}, nil, exitOK, "n1 is draining: new joins go to other nodes, nobody is left on it after"},
		{"it empties", []int{3, 3, 1, 0}, nil, exitOK, "3 left\n1 left\n0 left\nn1 is draining: new joins go to other nodes, nobody is left on it after"},
		{
			"somebody stays",
			[]int{2},
			[]string{"--timeout", "100ms"},
			exitFailed,
			"2 left\nn1 is draining: new joins go to other nodes, 2 people are left on it after",
		},
		{"nobody waits", []int{2}, []string{"--no-wait"}, exitOK, "n1 is draining: new joins go to other nodes, 2 people are left on it after"},
		{"as JSON", []int{0}, []string{"--json"}, exitOK, `{"node":"n1","left":0,"drained":true,`},
		{"as JSON, with somebody left", []int{1}, []string{"--json", "--timeout", "1ms"}, exitFailed, `{"node":"n1","left":1,"drained":false,`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				left := tc.left[min(asked, len(tc.left)-1)]
				asked++
				_ = json.NewEncoder(w).Encode(map[string]any{"node": map[string]any{"id": "n1"}, "people": left})
			}))
			defer server.Close()
			code, out, err := parley(t, append([]string{"drain", "n1", "--url", server.URL, "--token", "x"}, tc.args...)...)
			if code != tc.code || !strings.HasPrefix(out, tc.stdout) {
				t.Errorf("exit code %d, want %d\n%s\nwant\n%s\n%s", code, tc.code, out, tc.stdout, err)
			}
		})
	}
}

func TestClusterCommandFaults(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/cluster/nodes" {
			_, _ = w.Write([]byte("<html>"))
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer broken.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, tc := range []struct {
		name string
		args []string
		code int
		err  string
	}{
		{"nobody asks", []string{"nodes"}, exitFailed, "--token"},
		{"two ask", []string{"nodes", "--dev", "--token", "x"}, exitFailed, "--token"},
		{"no node named", []string{"drain", "--dev"}, exitUsage, "<node>"},
		{"a drain without an answer", []string{"drain", "n1", "--dev", "--url", broken.URL}, exitFailed, "502 Bad Gateway"},
		{"no URL", []string{"rooms", "--dev", "--url", "::"}, exitFailed, "--url"},
		{"nobody there", []string{"links", "--dev", "--url", closed.URL}, exitFailed, "no node answers"},
		{"no node", []string{"nodes", "--dev", "--url", broken.URL}, exitFailed, "does not answer as a node"},
		{"a proxy's error", []string{"undrain", "n1", "--dev", "--url", broken.URL}, exitFailed, "502 Bad Gateway"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			if code, _, err := parley(t, tc.args...); code != tc.code || !strings.Contains(err, tc.err) {
				t.Errorf("exit code %d, want %d\n%s", code, tc.code, err)
			}
		})
	}
}
