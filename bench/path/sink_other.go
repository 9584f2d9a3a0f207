//go:build !linux

package path

import (
	"errors"
	"net/netip"
	"sync/atomic"

	"github.com/pion/transport/v4"
)

// sink is a viewer's socket, on Linux only.
type sink struct {
	transport.UDPConn

	media atomic.Uint64
}

func newSink() (*sink, error) {
	return nil, errors.New("the cost of packets is measured on Linux only")
}

func (*sink) address() netip.AddrPort { return netip.AddrPort{} }
func (*sink) drops() uint64           { return 0 }

type scoop struct{}

func newScoop() *scoop { return &scoop{} }

func (*scoop) empty(*sink) int { return 0 }
