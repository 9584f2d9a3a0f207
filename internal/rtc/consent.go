package rtc

import (
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

const (
	consentFor = 30 * time.Second // RFC 7675 section 5.1: without an answer for this long, nothing more is sent
	proofFor   = 3 * time.Second  // an older answer moves no media: a recorded check would be enough to ask for it
)

// Where a transport sends is decided here. An address must have answered one of this end's own checks, and then either the
// agents have agreed on it, or the remote's own media, which nobody else can make, has come from it.

// goesTo reports whether media goes to s.
func (t *Transport) goesTo(s source) bool {
	d := t.remote.Load()
	return d != nil && d.addr == s.addr && (d.tcp != nil) == s.tcp
}

// move has media go to an address that has answered a check.
func (t *Transport) move(s source) {
	d, ok := t.e.reach(s)
	if !ok {
		return
	}
	t.wanted.Store(nil)
	t.consent.Store(t.e.Now())
	before := t.remote.Swap(&d)
	t.lost.Store(false)
	t.once.Do(func() { close(t.chosen) })
	if before == nil || *before != d {
		t.renewed.Store(true)
	}
	t.connected()
}

// connected tells the handler of a path that it does not know yet, once keys are there.
func (t *Transport) connected() {
	if t.keys.Load() != nil && t.renewed.Swap(false) {
		t.handler.Connected()
	}
}

// selected takes the address that the agents have agreed on first. Later ones are the controlled end's own choice: its agent
// may still come back to one that was nominated before.
func (t *Transport) selected(remote ice.Candidate) {
	s, ok := sourceOf(remote)
	if !ok {
		return
	}
	t.agreed.Store(&s)
	if !t.client && t.remote.Load() != nil {
		return
	}
	t.wanted.Store(&s)
	if t.e.mux.proved(t.e.nameOf(t), s, proofFor) {
		t.e.bind(t, s, true)
		t.move(s)
	}
}

// proved takes note that an address has answered a check.
func (t *Transport) proved(s source) {
	if t.goesTo(s) {
		t.consent.Store(t.e.Now())
		t.connected()
		return
	}
	next := t.wanted.Load()
	if t.lost.Load() {
		next = t.agreed.Load()
	}
	if next != nil && *next == s {
		t.move(s)
	}
}

// follow has media go to where the remote's own media now comes from: its NAT has changed the mapping, or it has changed
// networks. It goes nowhere before the agents have agreed on an address once, nor back from silence.
func (t *Transport) follow(s source) {
	if t.remote.Load() != nil {
		t.move(s)
	}
}

// nominated hears of every signed check. Where the controlling end has chosen again, media goes as soon as that has answered a
// check, whatever its priority: a client that has lost its UDP goes on over TCP. It tells the agent whether to select the
// pair that the check came over, so that it keeps to where media goes.
func (t *Transport) nominated(m *stun.Message, _, remote ice.Candidate, _ *ice.CandidatePair) bool {
	s, ok := sourceOf(remote)
	if !ok || t.remote.Load() == nil {
		return false // the agents have yet to agree
	}
	ufrag := localFragment(usernameOf(m))
	if m.Contains(stun.AttrUseCandidate) && !t.goesTo(s) {
		t.wanted.Store(&s)
		if t.e.mux.proved(ufrag, s, proofFor) {
			t.move(s)
		}
	}
	agreed := t.agreed.Load()
	return (agreed == nil || *agreed != s) && t.goesTo(s) && t.e.mux.proved(ufrag, s, consentFor)
}

func usernameOf(m *stun.Message) []byte {
	name, err := m.Get(stun.AttrUsername)
	if err != nil {
		return nil
	}
	return name
}

// expire stops sending when the remote's consent has run out. Between servers the link's own heartbeats decide.
func (t *Transport) expire(now int64) {
	if t.converse != nil || t.remote.Load() == nil || now-t.consent.Load() < consentFor.Nanoseconds() {
		return
	}
	t.lost.Store(true)
	t.renewed.Store(true)
	t.remote.Store(nil)
	t.handler.Disconnected(ErrSilent)
}
