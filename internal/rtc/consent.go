package rtc

import "time"

const (
	consentFor = 30 * time.Second // RFC 7675 section 5.1: without an answer for this long, nothing more is sent
	proofFor   = 3 * time.Second  // an older answer moves no media: a recorded check would be enough to ask for it
)

// Where a transport sends is decided here. An address must have answered one of this end's own checks, and then either the
// end in control has nominated it, or the remote's own media, which nobody else can make, has come from it.

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
	t.agreed.Store(&s)
	t.consent.Store(t.e.Now())
	t.alive.Store(t.e.Now())
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

// heard takes note of a signed check.
func (t *Transport) heard(s source) {
	if t.goesTo(s) {
		t.alive.Store(t.e.Now())
	}
}

// proved takes note that an address has answered a check, and of how long that took.
func (t *Transport) proved(s source, took time.Duration) {
	if t.goesTo(s) {
		now := t.e.Now()
		t.consent.Store(now)
		t.alive.Store(now)
		t.rtt.Store(int64(took))
		t.connected()
		return
	}
	wanted, last := t.wanted.Load(), t.agreed.Load()
	if wanted != nil && *wanted == s || t.lost.Load() && last != nil && *last == s {
		t.rtt.Store(int64(took))
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

// nominated hears of every check by which the end in control chooses an address. Media goes there as soon as it has answered a
// check, whatever it was before: a client that has lost its UDP goes on over TCP. After silence only a new answer counts.
func (t *Transport) nominated(a *agent, s source) {
	if t.goesTo(s) {
		return
	}
	t.wanted.Store(&s)
	if !t.lost.Load() && t.e.mux.proved(a, s, proofFor) {
		t.move(s)
	}
}

// watch looks whether the remote has fallen silent. The links between servers have heartbeats of their own.
func (t *Transport) watch(now int64) {
	if t.converse != nil {
		return
	}
	if t.remote.Load() != nil && now-t.alive.Load() >= iceDisconnected.Nanoseconds() && !t.renewed.Load() {
		t.silent()
	}
	t.expire(now)
}

// expire stops sending when the remote's consent has run out.
func (t *Transport) expire(now int64) {
	remote := t.remote.Load() // before consent: whatever is moved to after this has it
	if now-t.consent.Load() < consentFor.Nanoseconds() || t.lost.Swap(true) {
		return
	}
	t.remote.CompareAndSwap(remote, nil)
	t.silent()
}

// silent tells the handler that the remote has fallen silent. Only after that an answer, which may be coming just now, has it told
// of a path: it hears of that last.
func (t *Transport) silent() {
	t.handler.Disconnected(ErrSilent)
	t.renewed.Store(true)
}
