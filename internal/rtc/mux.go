package rtc

import (
	"crypto/rand"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// mux stands between the sockets and the ICE agents, over UDP and TCP alike.
//
// Requests find their agent by the user name fragment they carry, and count only if they are signed with the agent's
// password; responses find it by the transaction that the agent began, must come from where its request went, and be signed with
// the remote's. Addresses play no other part, so a client whose NAT reuses a port reaches its new agent, and a forged source
// address changes nothing for anybody.
//
// Nothing leaves for an address that has not sent a signed check, and little for one that has not answered.
type mux struct {
	send   func(b []byte, to source) error                // one message
	relays atomic.Pointer[func(from netip.AddrPort) bool] // whether an address is a relay's end; nil: none is

	mu           sync.Mutex
	agents       map[string]*agent // by their user name fragment
	transactions map[transaction]pending
	swept        time.Time
}

// pending is a check that has not been answered. It outlives its agent, and holds nothing of it.
type pending struct {
	ufrag string    // of the agent
	signs *password // the answer
	to    source
	at    time.Time // when it was sent, which may be long after the tick that it was due with
}

const (
	// A response that has not come within this time is not waited for; agents repeat their checks far more often.
	transactionTTL = 10 * time.Second

	// Checks that are due are looked for this often.
	checkTick = 100 * time.Millisecond

	// A check that comes is answered by one in return, unless its address has answered one within this time, or within iceConsent if it is
	// the one in use.
	freshProof = iceKeepalive
)

func newMux(send func([]byte, source) error) *mux {
	return &mux{send: send, agents: map[string]*agent{}, transactions: map[transaction]pending{}}
}

// add has an agent answered for.
func (m *mux) add(a *agent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agents[a.ufrag] = a
}

// remove forgets an agent; nil is none.
func (m *mux) remove(a *agent) {
	if a == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.agents, a.ufrag)
}

// works reports whether any address has ever answered a check of an agent.
func (m *mux) works(a *agent) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return a.paths.anyAnswered
}

func (m *mux) agent(ufrag string) *agent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agents[ufrag]
}

// learn has an agent send checks from now on, as the remote's credentials and its own role say.
func (m *mux) learn(a *agent, remote Remote, controls bool) {
	theirs := &password{}
	theirs.set(remote.Password)
	m.mu.Lock()
	defer m.mu.Unlock()
	a.user, a.theirs, a.controls = remote.Ufrag+":"+a.ufrag, theirs, controls
}

// bequeath has a former agent know what the remote goes by after a restart. Where it went by that already it is asked anew.
func (m *mux) bequeath(former *agent, remote Remote) {
	theirs := &password{}
	theirs.set(remote.Password)
	m.mu.Lock()
	defer m.mu.Unlock()
	former.heir = heir{remote.Ufrag, theirs}
	for _, p := range former.paths.all {
		if p.sender == remote.Ufrag && p.answered.IsZero() {
			p.asked, p.unanswered = time.Time{}, 0
		}
	}
}

// dial has an agent send checks to an address that has sent none.
func (m *mux) dial(a *agent, to source) {
	m.mu.Lock()
	a.paths.dial(to)
	m.mu.Unlock()
	m.check(a, to, time.Now())
}

// relax has an agent's checks go out no more often than every relaxedKeepalive.
func (m *mux) relax(a *agent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.relaxed = true
}

// proved reports whether an address has answered a check of an agent within the last while.
func (m *mux) proved(a *agent, s source, while time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return a.paths.proved(s, time.Now().Add(-while))
}

// deliver works off a STUN message that has come so long ago. It reports whether the sender has shown that it belongs to a transport: by a signed request,
// or by answering one.
func (m *mux) deliver(b []byte, from source, ago time.Duration) (authentic bool) {
	msg, ok := parseSTUN(b)
	switch {
	case !ok || !msg.binding:
		return false
	case msg.request:
		return m.asked(b, &msg, from)
	}
	return m.answered(b, &msg, from, ago)
}

// asked answers a check (RFC 8445 section 7.3), and sends one in return where that is due.
func (m *mux) asked(b []byte, msg *stunMessage, from source) bool {
	a := m.agent(msg.ufrag)
	if a == nil || !a.password.signed(b, msg) {
		return false
	}
	now := time.Now()
	m.mu.Lock()
	known := a.paths.all[from] != nil
	ok, controls := a.paths.heard(from, msg.sender, now), a.controls
	held := false
	if p := a.paths.all[from]; ok {
		p.relayed = p.relayed || !known && m.relayed(from)
		held = a.holds(p, now)
	}
	t, while := a.t, freshProof
	if t.goesTo(from) {
		while = iceConsent
	}
	fresh := a.paths.proved(from, now.Add(-while))
	m.mu.Unlock()
	if !ok || held {
		return ok
	}
	t.e.bind(t, from, false)
	if msg.role && msg.controls == controls {
		_ = m.send(a.password.seal(appendConflict(nil, msg.id)), from) // lost, as on a network
		return true
	}
	_ = m.send(a.password.seal(appendSuccess(nil, msg.id, from.addr.AddrPort())), from) // likewise
	t.heard(from)
	if msg.nominates && !controls {
		t.nominated(a, from)
	}
	if !fresh {
		m.check(a, from, now)
	}
	return true
}

// relayed reports whether a source is a relay's end.
func (m *mux) relayed(from source) bool {
	relays := m.relays.Load()
	return relays != nil && !from.tcp && (*relays)(from.addr.AddrPort())
}

// answered takes a response to the check of an agent, which has come so long ago.
func (m *mux) answered(b []byte, msg *stunMessage, from source, ago time.Duration) bool {
	m.mu.Lock()
	p, ok := m.transactions[msg.id]
	m.mu.Unlock()
	if !ok || p.to != from || !p.signs.signed(b, msg) { // RFC 8445 section 7.2.5.2.1
		return false
	}
	now := time.Now().Add(-ago)
	m.mu.Lock()
	_, ok = m.transactions[msg.id] // unless it has been answered just now
	delete(m.transactions, msg.id)
	a := m.agents[p.ufrag]
	proof := ok && msg.success && a != nil && a.paths.answered(from, now)
	m.mu.Unlock()
	if proof {
		t := a.t
		t.e.bind(t, from, true)
		t.supersede(a)
		t.proved(from, now.Sub(p.at))
	}
	return true
}

// check sends a check to an address, if one may go there now: the time of the tick that it is due with, or of what it answers.
func (m *mux) check(a *agent, to source, now time.Time) {
	var id transaction
	_, _ = rand.Read(id[:]) // never fails
	m.mu.Lock()
	p := a.paths.all[to]
	if p == nil || a.theirs == nil || now.Sub(p.asked) < a.gap(p) || !a.paths.ask(to, now) {
		m.mu.Unlock()
		return
	}
	user, theirs := a.credentials(p)
	controls := a.controls
	m.transactions[id] = pending{a.ufrag, theirs, to, time.Now()}
	m.sweepLocked(now)
	m.mu.Unlock()
	_ = m.send(theirs.seal(appendCheck(nil, id, user, controls)), to) // lost, as on a network
}

// sweepLocked forgets the transactions that are not waited for any longer.
func (m *mux) sweepLocked(now time.Time) {
	if now.Sub(m.swept) < transactionTTL {
		return
	}
	m.swept = now
	for id, p := range m.transactions {
		if now.Sub(p.at) > transactionTTL {
			delete(m.transactions, id)
		}
	}
}

// tick sends the checks that are due.
func (m *mux) tick(now time.Time) {
	type errand struct {
		a  *agent
		to source
	}
	var due []errand
	m.mu.Lock()
	for _, a := range m.agents {
		if now.Before(a.paths.quiet) {
			continue
		}
		for s, p := range a.paths.all {
			if a.due(s, p, now) {
				due = append(due, errand{a, s})
			}
		}
		a.paths.quiet = a.paths.untilDue()
	}
	m.mu.Unlock()
	for _, e := range due {
		m.check(e.a, e.to, now)
	}
}

// candidatePriority is what a peer-reflexive candidate of this end has (RFC 8445 section 5.1.2).
const candidatePriority = 110<<24 | 65535<<8 | 255

// mappedAddress is what a success response says of where the request came from.
func mappedAddress(id transaction, from netip.AddrPort) []byte {
	ip, family := from.Addr().Unmap().AsSlice(), byte(1)
	if len(ip) == 16 {
		family = 2
	}
	port := from.Port() ^ stunCookie>>16
	value := []byte{0, family, byte(port >> 8), byte(port)}
	mask := append([]byte{0x21, 0x12, 0xa4, 0x42}, id[:]...)
	for i, b := range ip {
		value = append(value, b^mask[i])
	}
	return value
}
