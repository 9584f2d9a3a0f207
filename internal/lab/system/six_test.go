package system_test

import (
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// TestIPv6 has browsers meet whose network has only IPv6, over UDP, and over TCP where UDP is blocked.
func TestIPv6(t *testing.T) {
	for _, over := range []string{"udp", "tcp"} {
		t.Run(over, func(t *testing.T) {
			link := lab.NewLink(t).Six()
			node := lab.ServeOn(t, link)
			if over == "tcp" {
				link.Lose(t, "udp", 100)
			}
			lab.Browse(t, node, "path.test.mjs", link.Client, 2*time.Minute, "LAB_PATH="+over+" "+link.ServerIP)
		})
	}
}
