package bench

import (
	"testing"
	"time"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestLedgerOutlivesConnections(t *testing.T) {
	var now client.SlotStats
	now.Slot = wire.Slot{MID: "1", Kind: "video", State: "active"}
	stats := func() []client.SlotStats { return []client.SlotStats{now} }
	var l ledger
	begin := time.Now()
	now.Packets, now.Missed, now.FreezeTime, now.Freezes = 100, 7, 3*time.Second, 2
	l.open(begin, stats)
	for i, step := range []struct {
		name             string
		packets, missed  uint64
		frozen           time.Duration
		freezes          uint64
		received, lacked uint64
		stood            float64
	}{
		{"goes on", 150, 8, 3 * time.Second, 2, 50, 1, 0},
		{"freezes", 160, 8, 4 * time.Second, 3, 60, 1, 1},
		{"another connection", 20, 0, 0, 0, 80, 1, 1},
		{"that goes on", 50, 2, time.Second, 1, 110, 3, 2},
		{"another, quicker than the one before", 300, 0, 0, 0, 410, 3, 2},
	} {
		now.Packets, now.Missed, now.FreezeTime, now.Freezes = step.packets, step.missed, step.frozen, step.freezes
		sum := l.enter(begin.Add(time.Duration(i+1)*time.Second), stats)
		if sum.Received != step.received || sum.Missed != step.lacked || sum.Frozen != step.stood || sum.Watched != float64(i+1) {
			t.Errorf("%s: %+v", step.name, sum)
		}
	}
}
