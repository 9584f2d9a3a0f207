package bus

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// freezer is a TCP proxy to a server that can stop to move a single byte while every connection stays open.
type freezer struct {
	addr string
	mu   sync.RWMutex // held for writing while frozen
}

func startFreezer(t *testing.T, target string) *freezer {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &freezer{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := new(net.Dialer).DialContext(context.Background(), "tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			wg.Go(func() { f.copy(out, in) })
			wg.Go(func() { f.copy(in, out) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return f
}

// copy moves bytes until one side closes, and then closes both.
func (f *freezer) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		f.mu.RLock()
		f.mu.RUnlock() //nolint:staticcheck // waits here while frozen
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// A network that swallows everything is worse than one that is cut: nothing tells that it is gone.
func TestAFrozenNetworkHoldsNobodyUp(t *testing.T) {
	ext := startExternal(t)
	proxy := startFreezer(t, ext.srv.Addr().String())
	cfg := Defaults()
	cfg.URL = "nats://" + proxy.addr
	b, _ := start(t, cfg)
	await(t, b.Ready())
	k := bucket(t, b, BucketConfig{Name: "frozen"})
	put(t, k, "a", "1")

	proxy.mu.Lock()
	data := make([]byte, 16<<10)
	slowest := time.Duration(0)
	for range 2000 { // 32 MiB: more than all buffers of the sockets
		began := time.Now()
		if err := b.Publish("s", data); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
	}
	if slowest > time.Second {
		t.Errorf("a publication took %v", slowest)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := k.Get(ctx, "a"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Get = %v, want ErrUnavailable", err)
	}
	if _, err := b.Request(ctx, "nobody", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Request = %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 2*writeTimeout {
		t.Errorf("two calls took %v", took)
	}
	proxy.mu.Unlock()

	for deadline := time.Now().Add(patience); ; {
		if e, err := k.Get(t.Context(), "a"); err == nil && string(e.Value) == "1" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the bus did not recover")
		}
		select {
		case <-b.Relinked():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
