package node

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// meanwhile does something every so often until it fails or the test ends.
func meanwhile(t testing.TB, every time.Duration, do func() error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if do() != nil {
				return
			}
		}
	})
}

// screen shows pictures, 60 a second, until the test ends. Show is told whether a keyframe has been asked for since the one before; asked
// counts how often.
func screen(t testing.TB, sender *webrtc.RTPSender, asked *atomic.Int64, show func(keyframe bool) error) {
	t.Helper()
	var again atomic.Bool
	meanwhile(t, time.Second/60, func() error { return show(again.Swap(false)) })
	go func() { // until the connection is closed
		for {
			ps, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			if slices.ContainsFunc(ps, func(p rtcp.Packet) bool { _, is := p.(*rtcp.PictureLossIndication); return is }) {
				asked.Add(1)
				again.Store(true)
			}
		}
	}()
}

// allow tells the node again and again how many bit/s the client takes, until the test ends.
func (c *client) allow(rate func() float32) {
	c.t.Helper()
	meanwhile(c.t, 100*time.Millisecond, func() error {
		return c.pc.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: rate(), SSRCs: []uint32{1}}})
	})
}
