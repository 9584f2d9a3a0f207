package signal

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestBurstWaitsFiftyMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom("mtg_1", "n1", grant.Settings{}, Defaults(), func(string) Media { return nil }, func(string, update) {}, slog.New(slog.DiscardHandler))
		watcher := &member{id: "pt_w", stage: seated, synced: true, events: newEventLog(100)}
		r.members[watcher.id] = watcher
		seen := func() uint64 {
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			return watcher.events.seq
		}
		joins := func(n int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for i := range n {
				r.newsLocked(wire.TypeParticipantJoined, wire.Identity{ID: fmt.Sprint(i)})
			}
		}
		joins(1)
		if got := seen(); got != 1 {
			t.Errorf("the first join made %d messages at once", got)
		}
		joins(30)
		time.Sleep(burst - time.Millisecond)
		if got := seen(); got != 1 {
			t.Errorf("before the burst was over there were %d messages", got)
		}
		time.Sleep(time.Millisecond)
		if got := seen(); got != 2 {
			t.Errorf("after the burst there were %d messages", got)
		}
		joins(1)
		r.mu.Lock()
		r.aboutLocked("0", wire.TypePresenceChanged, wire.PresenceChanged{ParticipantID: "0"})
		r.mu.Unlock()
		if got := seen(); got != 4 {
			t.Errorf("an event about a newcomer did not bring its join along: %d messages", got)
		}
	})
}
