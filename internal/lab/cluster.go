package lab

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// StartCluster runs `parley serve` as several processes on loopback, each in a region of its own: region-1, region-2 and
// so on. The first runs NATS for all of them. What extra has for a node is added to its configuration. It returns when all
// are ready and know each other.
func StartCluster(tb testing.TB, size int, extra ...string) []*Node {
	tb.Helper()
	secret := rand.Text() + rand.Text()
	nats, first := freePort(tb), freePort(tb)
	nodes := make([]*Node, size)
	for i := range nodes {
		gossip, bus := first, "listen: "+nats
		if i > 0 {
			gossip, bus = freePort(tb), "url: nats://"+nats
		}
		dir, listen, media := tb.TempDir(), freePort(tb), freePort(tb)
		n := &Node{URL: "http://" + listen, DataDir: dir}
		config := filepath.Join(dir, "parley.yaml")
		content := fmt.Sprintf(`
region: region-%d
listen: %s
data_dir: %s
log: {format: text}
bus: {%s}
node: {media: {listen: "%s"}}
api: {public_url: "%s", api_keys: [{id: lab, secret: %s}]}
cluster: {listen: "%s", join: ["%s"]}
`, i+1, listen, dir, bus, media, n.URL, secret, gossip, first)
		if i < len(extra) {
			content += extra[i] + "\n"
		}
		if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
		n.Token = tokenFor(tb, config)
		n.Process = start(tb, exec.Command(Build(tb), "serve", "--config", config))
		nodes[i] = n
		awaitReady(tb, n)
	}
	for _, n := range nodes {
		Until(tb, 20*time.Second, "the nodes know each other", func() bool {
			var known struct {
				Nodes []struct{} `json:"nodes"`
			}
			status, err := n.TryCall(tb, http.MethodGet, "/v1/cluster/nodes", nil, &known)
			return err == nil && status == http.StatusOK && len(known.Nodes) == size
		})
	}
	return nodes
}

func awaitReady(tb testing.TB, n *Node) {
	tb.Helper()
	Until(tb, 20*time.Second, "the node is ready", func() bool {
		status, err := n.TryCall(tb, http.MethodGet, "/readyz", nil, nil)
		return err == nil && status == http.StatusOK
	})
}

// freePort returns a loopback address that is free for TCP and UDP at this moment.
func freePort(tb testing.TB) string {
	tb.Helper()
	for range 16 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once or not at all
		if err != nil {
			tb.Fatal(err)
		}
		address := tcp.Addr().String()
		udp, err := net.ListenPacket("udp", address) //nolint:noctx // likewise
		_ = tcp.Close()
		if err == nil {
			_ = udp.Close()
			return address
		}
	}
	tb.Fatal("lab: no free port")
	return ""
}
