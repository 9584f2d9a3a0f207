package lab

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/internal/loopback"
)

// StartCluster runs `parley serve` as several processes on loopback, each in a region of its own: region-1, region-2 and
// so on. The first runs NATS for all of them. Roles has those of each node, separated by commas; none: all. It returns when all
// are ready and know each other.
func StartCluster(tb testing.TB, size int, roles ...string) []*Node {
	tb.Helper()
	secret := rand.Text() + rand.Text()
	nats, first := freeAddress(tb), freeAddress(tb)
	nodes := make([]*Node, size)
	for i := range nodes {
		gossip, bus := first, map[string]any{"listen": nats}
		if i > 0 {
			gossip, bus = freeAddress(tb), map[string]any{"url": "nats://" + nats}
		}
		listen := freeAddress(tb)
		n := &Node{URL: "http://" + listen, DataDir: tb.TempDir(), Gossip: gossip}
		config := settings{
			region: fmt.Sprint("region-", i+1), listen: listen, media: freeAddress(tb), dir: n.DataDir, secret: secret,
			bus: bus, cluster: map[string]any{"listen": gossip, "join": []string{first}},
		}
		if i < len(roles) {
			config.roles = strings.Split(roles[i], ",")
		}
		n.config = config.write(tb)
		n.Token = tokenFor(tb, n.config)
		n.Start(tb)
		nodes[i] = n
		awaitReady(tb, n)
	}
	awaitAcquainted(tb, nodes)
	return nodes
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	address, err := loopback.Free(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return address
}
