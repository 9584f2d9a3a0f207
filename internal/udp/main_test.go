package udp

import (
	"net/netip"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if _, is := os.LookupEnv(relayTo); !is {
		goleak.VerifyTestMain(m)
	} else if err := relay(); err != nil {
		panic(err)
	}
}

var (
	loopback4 = netip.MustParseAddrPort("127.0.0.1:0")
	loopback6 = netip.MustParseAddrPort("[::1]:0")
)

func listen(t testing.TB, at netip.AddrPort) *Conn {
	t.Helper()
	c, err := Listen(Config{Listen: at, ReceiveBuffer: 8 << 20, SendBuffer: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func messages(n, size int) []Message {
	ms := make([]Message, n)
	for i := range ms {
		ms[i].Buf = make([]byte, size)
	}
	return ms
}

// receive reads until it has n datagrams and returns copies.
func receive(t *testing.T, c *Conn, n int) (got [][]byte, from []Addr) {
	t.Helper()
	ms := messages(16, 2048)
	for len(got) < n {
		k, err := c.Read(ms)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms[:k] {
			got = append(got, append([]byte{}, m.Buf[:m.N]...))
			from = append(from, m.From)
		}
	}
	return got, from
}
