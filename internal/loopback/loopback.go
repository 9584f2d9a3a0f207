// Package loopback finds addresses for servers of one machine that must know of each other before they listen. Who can bind port 0
// and tell what it got needs none of it.
package loopback

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// The ports that are given out lie below those that systems take for outgoing connections and for port 0: 32768 and more
// on Linux, 49152 and more elsewhere (RFC 6335 section 6). One of those could be gone before its server binds it, or while that
// server is away and means to come back.
const (
	firstPort = 10_000
	lastPort  = 32_767
	ports     = lastPort - firstPort + 1
)

// given counts the ports that were tried, from a place of this process' own. So two processes give out the same port only where they
// happen to be at the same place at the same moment.
var given atomic.Uint32 //nolint:gochecknoglobals // ports are the machine's, and all of a process share them

func init() { given.Store(rand.Uint32N(ports)) }

// ErrNoPort says that every port is taken.
var ErrNoPort = errors.New("loopback: no free port")

// Free returns an address of 127.0.0.1 that nobody listens at just now, neither by TCP nor by UDP. It is not kept: who asked should bind it
// soon. No two calls in a process get the same one, until all have been given out. It is safe for concurrent use.
func Free(ctx context.Context) (address string, err error) {
	for range ports {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		port := firstPort + given.Add(1)%ports
		if address = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))); free(ctx, address) {
			return address, nil
		}
	}
	return "", ErrNoPort
}

func free(ctx context.Context, address string) bool {
	var lc net.ListenConfig
	tcp, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return false
	}
	return udp.Close() == nil
}
