package lab

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Node is one parley node as a real process.
type Node struct {
	*Process
	URL       string `json:"url"` // of REST and the page
	Token     string `json:"token"`
	MeetingID string `json:"meeting_id"` // of the meeting it began with
	JoinURL   string `json:"join_url"`
	HostURL   string `json:"host_url"`
	HostKey   string `json:"host_key"`
	DataDir   string `json:"-"`

	TLS *TLS `json:"-"` // of a node that is reached by HTTPS

	Gossip string `json:"-"` // where it gossips; empty but for a node of StartCluster

	// Of a node in a World.
	ID     string         `json:"-"`
	Region *Region        `json:"-"`
	Media  netip.AddrPort `json:"-"` // where it takes media

	config string // of a node that `parley serve` runs
}

// SignalURL is where clients open their WebSocket.
func (n *Node) SignalURL() string { return "ws" + strings.TrimPrefix(n.URL, "http") + "/v1/signal" }

// client makes requests from where the node can be reached.
func (n *Node) client() *http.Client {
	if n.Region != nil {
		return n.Region.httpClient(n.Region.address(lastHost), n.secure())
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: n.secure(), DisableKeepAlives: true}}
}

// secure is what clients trust the node by; nil for one without TLS.
func (n *Node) secure() *tls.Config {
	if n.TLS == nil {
		return nil
	}
	return n.TLS.Client()
}

// StartNode runs `parley dev` on free loopback ports with a data directory of its own and waits until it is ready.
func StartNode(tb testing.TB) *Node {
	tb.Helper()
	return StartNodeOn(tb, tb.TempDir())
}

// StartNodeOn is StartNode with a data directory that may hold what an earlier node left.
func StartNodeOn(tb testing.TB, dataDir string) *Node {
	tb.Helper()
	cmd := exec.Command(Build(tb), "dev", "--json", "--listen", "127.0.0.1:0", "--data", dataDir, "--log", "info")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(dataDir, "config"))
	n := &Node{Process: start(tb, cmd), DataDir: dataDir}
	n.awaitJSON(tb, n)
	return n
}

// StartRegions runs `parley dev` with a node in each of several regions, all in one process, and waits until they are
// ready. The nodes share their process; the first is the one that the others are found through.
func StartRegions(tb testing.TB, regions int) []*Node {
	tb.Helper()
	dir := tb.TempDir()
	cmd := exec.Command(Build(tb), "dev", "--json", "--listen", "127.0.0.1:0", "--data", dir, "--log", "info", "--regions", strconv.Itoa(regions))
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
	p := start(tb, cmd)
	var ready struct {
		Node
		Regions []struct {
			Region  string `json:"region"`
			JoinURL string `json:"join_url"`
		} `json:"regions"`
	}
	p.awaitJSON(tb, &ready)
	nodes := make([]*Node, 0, regions)
	for _, r := range ready.Regions {
		n := ready.Node
		n.Process, n.DataDir, n.JoinURL = p, dir, r.JoinURL
		n.URL, _, _ = strings.Cut(r.JoinURL, "/m/")
		nodes = append(nodes, &n)
	}
	return nodes
}

// Meeting is a meeting as POST /v1/meetings answers it.
type Meeting struct {
	ID      string `json:"id"`
	JoinURL string `json:"join_url"`
	HostKey string `json:"host_key"`
}

// NewMeeting makes a meeting that guests may join; more settings as in the REST plane.
func (n *Node) NewMeeting(tb testing.TB, title string, settings map[string]any) Meeting {
	tb.Helper()
	all := map[string]any{"guests": true}
	maps.Copy(all, settings)
	var m Meeting
	if status := n.Call(tb, http.MethodPost, "/v1/meetings", map[string]any{"title": title, "settings": all}, &m); status != http.StatusCreated {
		tb.Fatalf("POST /v1/meetings = %d, want 201", status)
	}
	return m
}

// Call makes a REST call with the node's own token and returns the status. A nil answer ignores the body.
func (n *Node) Call(tb testing.TB, method, path string, body, answer any) int {
	tb.Helper()
	status, err := n.TryCall(tb, method, path, body, answer)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	return status
}

// TryCall is Call for calls that may find nobody there.
func (n *Node) TryCall(tb testing.TB, method, path string, body, answer any) (status int, err error) {
	tb.Helper()
	payload := []byte{}
	if body != nil {
		if payload, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequestWithContext(tb.Context(), method, n.URL+path, bytes.NewReader(payload))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+n.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	status, read, err := do(n.client(), req)
	if err == nil && answer != nil && status < http.StatusBadRequest {
		if err = json.Unmarshal(read, answer); err != nil {
			err = fmt.Errorf("%w in %s", err, read)
		}
	}
	return status, err
}

// get makes a request that needs no token.
func get(tb testing.TB, client *http.Client, url string) (status int, body []byte, err error) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	return do(client, req)
}

func do(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	client.Timeout = 10 * time.Second
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return resp.StatusCode, body, err
}

// Metrics returns the values on the node's /metrics by name, labels included; none where it does not answer.
func (n *Node) Metrics(tb testing.TB) map[string]float64 {
	tb.Helper()
	status, body, err := get(tb, n.client(), n.URL+"/metrics")
	if err != nil || status != http.StatusOK {
		return nil
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		at := strings.LastIndexByte(line, ' ')
		if at <= 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
			values[line[:at]] = value
		}
	}
	return values
}
