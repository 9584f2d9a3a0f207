package loopback

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestFree(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		address, err := Free(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at, err := netip.ParseAddrPort(address)
		if err != nil || !at.Addr().IsLoopback() || at.Port() < firstPort || at.Port() > lastPort || seen[address] {
			t.Fatalf("%q (%v) is not one of loopback's, in the range, for the first time", address, err)
		}
		seen[address] = true
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

// What somebody listens at, by either protocol, is passed over.
func TestFreePassesOverWhatIsTaken(t *testing.T) {
	var lc net.ListenConfig
	for network, bind := range map[string]func(address string) (interface{ Close() error }, error){
		"tcp": func(address string) (interface{ Close() error }, error) {
			return lc.Listen(t.Context(), "tcp", address)
		},
		"udp": func(address string) (interface{ Close() error }, error) {
			return lc.ListenPacket(t.Context(), "udp", address)
		},
	} {
		t.Run(network, func(t *testing.T) {
			address, err := Free(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			taken, err := bind(address)
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			given.Add(^uint32(0)) // the same one is next
			if next, err := Free(t.Context()); err != nil || next == address {
				t.Errorf("%q (%v), which is taken", next, err)
			}
		})
	}
}

func TestFreeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Free(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
