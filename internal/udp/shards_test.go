package udp

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
)

func shards(t *testing.T, n int) Shards {
	t.Helper()
	all, err := ListenShards(Config{Listen: loopback4, ReceiveBuffer: 1 << 20}, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := all.Close(); err != nil {
			t.Error(err)
		}
	})
	return all
}

// TestShardsKeepRemotesTogether: each remote's datagrams come on one socket, in order; the remotes are spread; answers come from
// the one port.
func TestShardsKeepRemotesTogether(t *testing.T) {
	const remotes, each = 64, 50
	all := shards(t, 4)
	if runtime.GOOS == "linux" && len(all) != 4 {
		t.Fatalf("%d sockets", len(all))
	}
	for _, c := range all {
		if c.LocalAddr() != all.LocalAddr() {
			t.Errorf("sockets on %s and %s", c.LocalAddr(), all.LocalAddr())
		}
	}
	to := AddrFrom(all.LocalAddr())
	clients := make([]*Conn, remotes)
	for i := range clients {
		clients[i] = listen(t, loopback4)
	}
	for k := range each {
		for _, c := range clients {
			if _, err := c.WriteTo(fmt.Appendf(nil, "%02d", k), to); err != nil {
				t.Fatal(err)
			}
		}
	}
	var mu sync.Mutex
	on, heard := map[Addr]int{}, map[Addr]int{}
	var done, readers sync.WaitGroup
	done.Add(remotes * each)
	for i, c := range all {
		readers.Go(func() {
			ms := messages(16, 100)
			for {
				n, err := c.Read(ms)
				if err != nil {
					return
				}
				mu.Lock()
				for _, m := range ms[:n] {
					if before, ok := on[m.From]; ok && before != i {
						t.Errorf("%s on sockets %d and %d", m.From, before, i)
					}
					if want := fmt.Sprintf("%02d", heard[m.From]); string(m.Buf[:m.N]) != want {
						t.Errorf("%q of %s after %d others", m.Buf[:m.N], m.From, heard[m.From])
					}
					on[m.From] = i
					heard[m.From]++
					done.Done()
				}
				mu.Unlock()
			}
		})
	}
	done.Wait()
	used := map[int]int{}
	for _, i := range on {
		used[i]++
	}
	if len(used) != len(all) {
		t.Errorf("%d remotes lie on the sockets as %v", remotes, used)
	}
	if s := all.Stats(); s.Received != remotes*each {
		t.Errorf("%d datagrams counted", s.Received)
	}
	for i, c := range all {
		if _, err := c.WriteTo([]byte("back"), AddrFrom(clients[i].LocalAddr())); err != nil {
			t.Fatal(err)
		}
		if got, from := receive(t, clients[i], 1); string(got[0]) != "back" || from[0] != to {
			t.Errorf("%q from %s", got[0], from[0])
		}
	}
	if err := all.Close(); err != nil {
		t.Error(err)
	}
	readers.Wait()
}

// TestShardsAreNotJoined: a port that sockets share already is refused, to one and to many, and so is their port to theirs.
func TestShardsAreNotJoined(t *testing.T) {
	all := shards(t, 2)
	for _, n := range []int{1, 2} {
		if more, err := ListenShards(Config{Listen: all.LocalAddr()}, n); err == nil {
			t.Errorf("%d more sockets joined: %v", n, more.Close())
		}
	}
	alone := listen(t, loopback4)
	if more, err := ListenShards(Config{Listen: alone.LocalAddr()}, 2); err == nil {
		t.Error("a port in use was shared", more.Close())
	}
}

func TestShardsClose(t *testing.T) {
	all := shards(t, 3)
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			if _, err := c.Read(messages(4, 100)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read: %v", err)
			}
		})
	}
	if err := all.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if again := listen(t, all.LocalAddr()); again.LocalAddr() != all.LocalAddr() {
		t.Error("the port is not free again")
	}
}
