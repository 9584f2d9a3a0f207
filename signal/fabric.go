package signal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

const (
	fabricInbox    = 4096 // updates received, but not yet applied; beyond it they are lost, noticed and pulled
	commandTimeout = 2 * time.Second
	pullTimeout    = 700 * time.Millisecond // of one try
	roomSubject    = "parley.room."         // + meeting + "." + node: that node's updates of the room
	nodeSubject    = "parley.signal."       // + node: commands to the node
)

// fabric exchanges rosters with the other nodes over the bus. Updates may get lost: whoever sees a hole in the versions,
// or a digest that does not fit, pulls the whole part from its writer.
type fabric struct {
	svc   *Service
	bus   Bus
	node  string
	log   *slog.Logger
	inbox chan delivery
	nodes *census
	gone  farewells
}

// delivery is an update as it came from the bus.
type delivery struct {
	subject string
	data    []byte
}

// run applies what comes in, answers commands and compares digests until ctx ends.
func (f *fabric) run(ctx context.Context) error {
	stop, err := f.bus.Serve(nodeSubject+f.node, f.svc.obey)
	if err != nil {
		return fmt.Errorf("signal: serve commands: %w", err)
	}
	defer stop()
	if f.svc.deps.Direct != nil {
		f.svc.deps.Direct.Supply(f.svc.supply)
	}
	var pulls sync.WaitGroup
	defer pulls.Wait()
	tick := time.NewTicker(f.svc.cfg.DigestEvery)
	defer tick.Stop()
	hail := time.NewTicker(hailEvery)
	defer hail.Stop()
	heardSince := time.Now() // from when on the bus has been there without a break, as far as is known
	relinked, together, gone := f.bus.Relinked(), newReunion(), newObituary(f.svc.cfg.NodeGrace)
	defer together.timer.Stop()
	defer gone.timer.Stop()
	for {
		select {
		case d := <-f.inbox:
			if r, from := f.apply(d); r != nil {
				pulls.Go(func() { f.pull(ctx, r, from) })
			}
		case <-relinked:
			relinked, heardSince = f.bus.Relinked(), time.Now()
			together.begin(heardSince)
		case <-f.nodes.news:
			joined, left := f.nodes.take()
			gone.note(joined, left, time.Now())
			if len(joined) > 0 {
				together.begin(time.Now())
			}
			for _, id := range joined {
				if f.svc.deps.Direct != nil {
					pulls.Go(func() { f.regain(ctx, id) })
				}
			}
		case now := <-together.timer.C:
			f.compare(now, heardSince, together.next(now))
		case now := <-gone.timer.C:
			f.bury(gone.due(now))
		case now := <-hail.C:
			f.hail(now)
		case now := <-tick.C:
			if !f.bus.Connected() {
				heardSince = now
			}
			f.compare(now, heardSince, false)
		case <-ctx.Done():
			return nil
		}
	}
}

// tell publishes an update of a room. The bus takes it without waiting, so rooms call this under their lock: that keeps
// versions in order.
func (f *fabric) tell(meetingID string, u update) {
	data, err := json.Marshal(u)
	if err == nil {
		err = f.bus.Publish(roomSubject+meetingID+"."+f.node, data)
	}
	if err != nil {
		f.log.Warn("an update did not go out; other nodes will pull it", "meeting_id", meetingID, "error", err)
	}
}

// follow listens to the other nodes' updates of a room and asks them where they stand.
func (f *fabric) follow(r *room) {
	unfollow, err := f.bus.Subscribe(roomSubject+r.meeting+".*", func(subject string, data []byte) {
		select {
		case f.inbox <- delivery{subject, data}:
		default: // noticed by the version
		}
	})
	if err != nil {
		f.log.Warn("a room cannot be followed; it is tried again", "meeting_id", r.meeting, "error", err)
		return
	}
	r.mu.Lock()
	useless := r.closed || r.follow != nil
	if !useless {
		r.follow = unfollow
		r.tellLocked(update{Ask: true})
	}
	r.mu.Unlock()
	if useless {
		unfollow()
	}
}

// apply hands an update to its room. It returns the room and the writer when the writer's part must be pulled.
func (f *fabric) apply(d delivery) (r *room, from string) {
	meetingID, writer, ok := strings.Cut(strings.TrimPrefix(d.subject, roomSubject), ".")
	var u update
	if err := json.Unmarshal(d.data, &u); err != nil || !ok || u.Node != writer {
		f.log.Warn("an update makes no sense", "subject", d.subject, "error", err)
		return nil, ""
	}
	r = f.svc.room(meetingID)
	if r == nil || u.Node == f.node {
		return nil, ""
	}
	if u.Ended {
		f.svc.endHere(meetingID)
		return nil, ""
	}
	inStep, peers := r.receive(u)
	closeAll(peers)
	if len(peers) > 0 {
		f.svc.sweep(r)
	}
	if inStep {
		return nil, ""
	}
	return r, u.Node
}

// pull fetches another node's part of a room. It tries again soon, so that one loss does not cost a digest period, until the
// node counts as silent. When all fails, the next digest brings it up again.
func (f *fabric) pull(ctx context.Context, r *room, from string) {
	f.svc.metrics.pulls.Inc()
	var answer reply
	var err error
	for start := time.Now(); time.Since(start) < f.svc.cfg.NodeSilence; {
		answer, err = f.pullOnce(ctx, r, from)
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if err != nil {
		f.log.Warn("a part of a roster could not be pulled", "meeting_id", r.meeting, "from", from, "error", err)
	}
	closeAll(r.pulled(from, answer.Part, err))
	f.svc.sweep(r)
}

func (f *fabric) pullOnce(ctx context.Context, r *room, from string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	return f.ask(ctx, from, command{Op: opRoster, Meeting: r.meeting})
}

// command has another node carry a command out.
func (f *fabric) command(ctx context.Context, to string, c command) error {
	answer, err := f.ask(ctx, to, c)
	if err != nil {
		return &node.Error{Kind: node.Internal, Code: wire.CodeInternal, Say: "The participant's node does not answer.", Err: err}
	}
	if e := answer.Error; e != nil {
		return &node.Error{Kind: e.Kind, Code: e.Code, Say: e.Say}
	}
	return nil
}

// send has another node obey a command, without waiting for an answer.
func (f *fabric) send(to string, c command) {
	data, err := json.Marshal(c)
	if err == nil {
		err = f.bus.Publish(nodeSubject+to, data)
	}
	if err != nil {
		f.log.Warn("a command did not go out", "to", to, "op", c.Op, "error", err)
	}
}

func (f *fabric) ask(ctx context.Context, to string, c command) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	data, err := json.Marshal(c)
	if err != nil {
		return reply{}, err
	}
	data, err = f.bus.Request(ctx, nodeSubject+to, data)
	if err != nil {
		return reply{}, err
	}
	var answer reply
	return answer, json.Unmarshal(data, &answer)
}

// compare tells the other nodes where this one stands and, when ask is set, asks where they do. It forgets nodes that have
// been silent, and sends those away whose tokens were revoked elsewhere. While the bus is away nobody is forgotten: silence
// says nothing then.
func (f *fabric) compare(now, heardSince time.Time, ask bool) {
	silentSince := now.Add(-f.svc.cfg.NodeSilence)
	for _, r := range f.svc.allRooms() {
		r.mu.Lock()
		following := r.follow != nil
		r.tellLocked(update{Ask: ask})
		r.home.Expire(now)
		if heardSince.Before(silentSince) {
			r.forgetLocked(silentSince)
		}
		r.mu.Unlock()
		if !following {
			f.follow(r)
		}
		f.enforce(r)
	}
	for meetingID, word := range f.gone.due(now) {
		f.tell(meetingID, word)
	}
}

// enforce sends members away whose tokens were revoked: another node's word may have been lost.
func (f *fabric) enforce(r *room) {
	r.mu.Lock()
	claims := make([]grant.Claims, 0, len(r.members))
	for _, m := range r.members {
		claims = append(claims, m.claims)
	}
	r.mu.Unlock()
	var peers []Peer
	for _, c := range claims {
		reason, code := "removed", wire.CloseRemoved
		err := f.svc.barred(c)
		if err == nil {
			continue
		}
		if asError(err).Code == wire.CodeMeetingEnded {
			reason, code = "ended", wire.CloseEnded
		}
		if peer := r.dismiss(c.ParticipantID, reason, code); peer != nil {
			peers = append(peers, peer)
		}
	}
	closeAll(peers)
	f.svc.sweep(r)
}

// receive applies another node's update. It is false when the node's part must be pulled; the peers of members who are
// now connected elsewhere are for the caller to close.
func (r *room) receive(u update) (inStep bool, peers []Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return true, nil
	}
	r.adoptLocked(u.Lock, u.Settings)
	if u.Incarnation == 0 { // news from a node that has nobody in the room
		return true, nil
	}
	if u.Closed {
		return true, r.mergedLocked(r.roster.closed(u), nil)
	}
	now := time.Now()
	back := slices.Contains(r.roster.silent(now.Add(-missedAfter(r.cfg))), u.Node) // then it has missed this node's words too
	changes, chats, inStep := r.roster.apply(u, now)
	peers = r.mergedLocked(changes, chats)
	if u.Ask || back {
		r.tellLocked(update{})
	}
	if inStep || r.pulling[u.Node] {
		return true, peers
	}
	r.pulling[u.Node] = true
	return false, peers
}

// pulled takes over a part that was pulled. A nil part means that the node has left the room.
func (r *room) pulled(from string, p *part, err error) []Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pulling, from)
	switch {
	case err != nil || r.closed:
		return nil
	case p == nil || p.Node != from:
		return r.mergedLocked(r.roster.forget(from), nil)
	}
	return r.mergedLocked(r.roster.replace(*p, time.Now()))
}

// mergedLocked tells the members what came from another node, and lets go of those who have a newer session there.
func (r *room) mergedLocked(changes []change, chats []wire.Chat) []Peer {
	r.changedLocked(changes)
	for _, chat := range chats {
		r.deliverLocked(chat)
	}
	var peers []Peer
	for _, c := range changes {
		if c.after == nil || r.members[c.after.ID] == nil {
			continue
		}
		m := r.members[c.after.ID]
		if _, told := r.roster.self.Entries[m.id]; !told || !r.elsewhereLocked(m.id) || r.overlapsLocked(m) {
			continue
		}
		if m.session != nil {
			m.session.socket.end(wire.CloseReplaced, "connected to another node")
		}
		if peer := r.leaveLocked(m); peer != nil {
			peers = append(peers, peer)
		}
	}
	return peers
}

// forgetLocked drops the parts of nodes that were not heard since.
func (r *room) forgetLocked(since time.Time) {
	for _, name := range r.roster.silent(since) {
		r.missLocked(name, "a node is silent")
	}
}

// state is what this node knows of the room, for another node that missed something.
func (r *room) state() (answer reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := *r.roster.self
	p.Entries = maps.Clone(p.Entries)
	p.Chats = slices.Clone(p.Chats)
	settings, l := r.home.Meeting(), r.lock
	answer.Part, answer.Settings, answer.Lock = &p, &settings, &l
	r.promisedLocked(&answer)
	return answer
}

// refresh takes over what a newcomer's token knows of the meeting's settings.
func (r *room) refresh(settings grant.Settings) {
	r.setSettings(settings)
}
