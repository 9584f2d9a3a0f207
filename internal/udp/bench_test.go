package udp

import (
	"fmt"
	"net/netip"
	"testing"
)

const payload = 1128 // a video packet, sealed

// sinks opens sockets that nobody reads: what is sent to them costs the sender the same.
func sinks(b *testing.B, n int) []Addr {
	b.Helper()
	to := make([]Addr, n)
	for i := range to {
		c, err := Listen(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		to[i] = AddrFrom(c.LocalAddr())
	}
	return to
}

func BenchmarkWriteTo(b *testing.B) {
	c, to, packet := listen(b, loopback4), sinks(b, 50), make([]byte, payload)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = c.WriteTo(packet, to[i%len(to)])
	}
}

// BenchmarkBatch sends runs of so many packets to each of 50 addresses in turn; an iteration is one packet.
func BenchmarkBatch(b *testing.B) {
	for _, run := range []int{1, 2, 4, 8, 32} {
		b.Run(fmt.Sprintf("run=%d", run), func(b *testing.B) {
			c, to := listen(b, loopback4), sinks(b, 50)
			batch := c.NewBatch()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				batch.Reserve(payload + 40)
				batch.Queue(payload, to[i/run%len(to)])
			}
			_ = batch.Flush()
			b.ReportMetric(float64(c.Stats().Sent)/float64(b.N), "sent/op")
		})
	}
}

// BenchmarkQueue is the part of a batch that is not the kernel's.
func BenchmarkQueue(b *testing.B) {
	c := listen(b, loopback4)
	batch, to := c.NewBatch(), AddrFrom(c.LocalAddr())
	b.ReportAllocs()
	for b.Loop() {
		batch.Reserve(0)
		batch.Queue(0, to)
		batch.runs, batch.used = batch.runs[:0], 0
	}
}

// BenchmarkRead fills the socket off the clock and empties it on the clock; an iteration is one packet.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			from, c := listen(b, loopback4), listen(b, loopback4)
			batch, to, ms := from.NewBatch(), AddrFrom(c.LocalAddr()), messages(size, 1500)
			b.ReportAllocs()
			for left := b.N; left > 0; {
				b.StopTimer()
				fill := min(left, 512)
				for range fill {
					batch.Reserve(payload)
					batch.Queue(payload, to)
				}
				_ = batch.Flush()
				b.StartTimer()
				for got := 0; got < fill; {
					n, err := c.Read(ms)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
				left -= fill
			}
		})
	}
}

func BenchmarkAddrMap(b *testing.B) {
	peers := make(map[Addr]int)
	for i := range 1000 {
		peers[AddrFrom(netip.AddrPortFrom(loopback4.Addr(), uint16(i)))] = i
	}
	key := AddrFrom(netip.AddrPortFrom(loopback4.Addr(), 500))
	for b.Loop() {
		_ = peers[key]
	}
}
