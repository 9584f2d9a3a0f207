package signal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
)

const (
	gatherTimeout = 500 * time.Millisecond // for the other nodes to say whom they have, before a new home answers
	gatherAgain   = 20 * time.Millisecond  // before they are asked again, where one could not be
	leaseWriters  = 16                     // leases written at the same time
	recallShare   = 3                      // tenths of the time for the home to answer, for lots to come back
)

// keeping is a room's state on the node that is its home. It is guarded by the room's lock.
type keeping struct {
	kept     bool          // this node is the home: the room stays open while it is, also without members
	gathered chan struct{} // closed once the other nodes were asked whom they have; nil before
	recalled chan struct{} // closed once the other nodes were asked for their lots; nil while they are not
	idle     time.Time     // since when nobody is in the room anywhere; zero while somebody is
}

// keep opens a room as its home.
func (s *Service) keep(meetingID string, settings grant.Settings) *room {
	for {
		r := s.open(grant.Claims{MeetingID: meetingID, Settings: settings})
		r.mu.Lock()
		ok := !r.closed
		if ok {
			r.kept = true
		}
		r.mu.Unlock()
		if ok {
			return r
		}
	}
}

// giveUpHome makes a room one like any other again. Its members stay.
func (s *Service) giveUpHome(meetingID string) {
	r := s.room(meetingID)
	if r == nil {
		return
	}
	r.mu.Lock()
	r.keeping = keeping{}
	r.mu.Unlock()
	s.sweep(r)
}

// gather asks all other nodes whom they have in the room, once, so that a new home admits nobody too many. It waits for
// a short time only: nodes that do not answer are heard of by their digests.
func (s *Service) gather(ctx context.Context, r *room) {
	r.mu.Lock()
	done, first := r.gathered, r.gathered == nil
	if first {
		done = make(chan struct{})
		r.gathered = done
	}
	r.mu.Unlock()
	if !first {
		select {
		case <-done:
		case <-ctx.Done():
		}
		return
	}
	defer close(done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), gatherTimeout) // others wait for it too
	defer cancel()
	now := time.Now()
	ask := command{Op: opRoster, Meeting: r.meeting, Recall: &recalling{s.deps.NodeID, r.home.Mark(now)}}
	own := s.purses.void(r.meeting, s.owners.electorate().process(s.deps.NodeID), ask.Recall.UpTo, now)
	var lots legacy
	lots.hear(reply{Back: own})
	defer func() { r.home.inherit(lots.left(s.deps.NodeID), time.Now()) }()
	if l, is := s.owners.lease(r.meeting); is && l.Node == s.deps.NodeID {
		ask.Lease, ask.Epoch = &l, l.epoch
	}
	nodes := s.owners.electorate()
	for len(nodes) > 0 && ctx.Err() == nil {
		var wg sync.WaitGroup
		var failed atomic.Bool
		for _, n := range nodes {
			if n.ID == s.deps.NodeID {
				continue
			}
			wg.Go(func() {
				answer, err := s.fabric.ask(ctx, n.ID, ask)
				if err != nil {
					failed.Store(true)
					return
				}
				closeAll(r.gatheredFrom(n.ID, answer))
				r.home.Returned(n.ID, ask.Recall.UpTo)
				lots.hear(answer)
			})
		}
		wg.Wait()
		// Some have gone on meanwhile; others cannot be asked, which may be known at once.
		nodes = slices.DeleteFunc(nodes, func(n placement.Node) bool { return !r.isPulling(n.ID) })
		if failed.Load() {
			select {
			case <-time.After(gatherAgain):
			case <-ctx.Done():
			}
		}
	}
}

// legacy is the lots that earlier homes have handed out, as the nodes tell. It is safe for concurrent use.
type legacy struct {
	mu   sync.Mutex
	lent []lentOut
	back []uint64
}

func (l *legacy) hear(answer reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent, l.back = append(l.lent, answer.Lots...), append(l.back, answer.Back...)
}

// left returns the lots that the nodes that have them did not give back. This node's own it does not use any more.
func (l *legacy) left(self string) []lentOut {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(l.lent, func(out lentOut) bool { return out.Node == self || slices.Contains(l.back, out.Number) })
}

// isPulling says whether a node's part is known to be out of date.
func (r *room) isPulling(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulling[id]
}

// gatheredFrom takes over what another node says of a room.
func (r *room) gatheredFrom(from string, answer reply) []Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || answer.Part == nil || answer.Part.Node != from {
		return nil
	}
	r.adoptLocked(answer.Lock, answer.Settings)
	peers := r.mergedLocked(r.roster.replace(*answer.Part, time.Now()))
	r.promiseLocked(answer)
	return peers
}

// unlockEmptyLocked takes the lock from a room in which nobody is any more, which only its home keeps open.
func (r *room) unlockEmptyLocked() {
	if r.kept && len(r.members) == 0 && len(r.roster.view) == 0 && r.lock != (lock{}) {
		r.lock = lock{}
		r.home.SetLocked(false)
	}
}

// idleLocked says whether nobody has been in the room, on any node, for the grace period.
func (r *room) idleLocked(now time.Time) bool {
	inUse := r.home.Expire(now)
	if inUse || len(r.members) > 0 || len(r.roster.view) > 0 {
		r.idle = time.Time{}
		return false
	}
	if r.idle.IsZero() {
		r.idle = now
	}
	return now.Sub(r.idle) >= r.cfg.Grace
}

// keeper holds the leases of the homes of this node, in the background.
type keeper struct {
	svc   *Service
	store Leases // nil: there is none, and homes go without
	poke  chan struct{}
}

// run watches the leases and writes what is due until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if k.store != nil {
		wg.Go(func() {
			if err := k.store.Watch(ctx, k.hear, k.svc.owners.caughtUp); err != nil {
				cancel(fmt.Errorf("signal: leases: %w", err))
			}
		})
	}
	tick := time.NewTicker(k.svc.cfg.DigestEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-k.poke:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
		k.tend(ctx, time.Now())
	}
}

// hurry makes the keeper look at once.
func (k *keeper) hurry() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// hear follows a lease: this node is a home now, or another is.
func (k *keeper) hear(e bus.Entry, deleted bool) {
	s, now := k.svc, time.Now()
	if !isName(e.Key) {
		return // nobody's
	}
	s.owners.hear(e, deleted, now)
	if deleted {
		return // a home that let go of its room, or whose room is in use again: tend sees to it
	}
	at := s.owners.peek(e.Key, now)
	r := s.room(e.Key)
	switch {
	case at.alone:
	case at.decided && at.node == s.deps.NodeID:
		s.keep(e.Key, grant.Settings{})
	case at.decided && r != nil:
		s.giveUpHome(e.Key)
	}
}

// tend writes the leases that are due, and lets go of rooms that nobody uses.
func (k *keeper) tend(ctx context.Context, now time.Time) {
	s := k.svc
	for _, room := range s.owners.own() { // also leases that were written while this node was alone
		s.keep(room, grant.Settings{})
	}
	k.findHomes(ctx, now)
	s.renew(now)
	errands := s.owners.due(now, s.cfg.DigestEvery, func(room string) bool { return s.room(room) != nil })
	errands = append(errands, k.idle(now)...)
	if k.store == nil {
		for _, e := range errands {
			if e.holder == (lease{}) {
				k.letGo(e.room)
			}
		}
		return
	}
	for batch := range slices.Chunk(errands, leaseWriters) {
		var wg sync.WaitGroup
		for _, e := range batch {
			wg.Go(func() { k.write(ctx, e) })
		}
		wg.Wait()
	}
}

// findHomes finds homes for rooms that have people here but none known: the home was out of reach when they came, or there
// was no other node.
func (k *keeper) findHomes(ctx context.Context, now time.Time) {
	s := k.svc
	ctx, cancel := context.WithTimeout(ctx, s.cfg.homeTimeout) // for all of them: the rest is for the next time
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, leaseWriters)
	for meeting := range s.Occupancy() {
		at := s.owners.peek(meeting, now)
		if at.alone || at.decided || !s.deps.Bus.Connected() {
			continue
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if _, here, _ := s.toHome(ctx, command{Op: opHome, Meeting: meeting}, s.owners.locate(meeting, now)); here {
				s.keep(meeting, grant.Settings{})
			}
		})
	}
}

// idle returns the kept rooms that nobody uses any more.
func (k *keeper) idle(now time.Time) (errands []errand) {
	for _, r := range k.svc.allRooms() {
		r.mu.Lock()
		idle, kept := r.kept && r.idleLocked(now), r.kept
		r.mu.Unlock()
		if !kept {
			continue
		}
		l, is := k.svc.owners.lease(r.meeting)
		at := k.svc.owners.peek(r.meeting, now)
		switch {
		case idle && is && l.Node == k.svc.deps.NodeID:
			errands = append(errands, errand{room: r.meeting, epoch: l.epoch})
		case idle:
			errands = append(errands, errand{room: r.meeting})
		case at.decided && at.node != k.svc.deps.NodeID: // two homes met again, and the other has the lease
			k.svc.giveUpHome(r.meeting)
		case !is && !at.decided: // its lease was deleted while somebody came back, or cannot be written yet
			k.svc.owners.accept(r.meeting, true, now)
		}
	}
	return errands
}

// write writes or deletes one lease. Whoever else was faster is heard of by the watch.
func (k *keeper) write(ctx context.Context, e errand) {
	var err error
	value, _ := json.Marshal(e.holder) // a struct of a string and a number
	switch {
	case e.holder == (lease{}) && e.epoch == 0:
	case e.holder == (lease{}):
		err = k.store.DeleteAt(ctx, e.room, e.epoch)
	case e.epoch == 0:
		_, err = k.store.Create(ctx, e.room, value)
	default:
		_, err = k.store.Update(ctx, e.room, value, e.epoch)
	}
	taken := errors.Is(err, bus.ErrConflict) || errors.Is(err, bus.ErrExists)
	if err != nil && !taken {
		k.svc.log.Debug("a lease cannot be written now", "meeting_id", e.room, "error", err)
		return
	}
	if e.holder == (lease{}) {
		k.svc.owners.deleted(e.room, e.epoch)
		k.letGo(e.room)
	}
}

// letGo closes a room that this node was home of, unless somebody has come meanwhile.
func (k *keeper) letGo(meetingID string) {
	r := k.svc.room(meetingID)
	if r == nil {
		return
	}
	r.mu.Lock()
	idle := r.kept && r.idleLocked(time.Now())
	if idle {
		r.keeping = keeping{}
	}
	r.mu.Unlock()
	if idle {
		k.svc.owners.drop(meetingID)
		k.svc.sweep(r)
	}
}
