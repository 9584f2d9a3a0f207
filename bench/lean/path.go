package lean

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

const (
	checkAgain   = 50 * time.Millisecond // until a path is found
	remembered   = 20                    // checks of each candidate that may still be answered: those of a second
	freshEvery   = 4 * time.Second       // between checks afterwards (RFC 7675 says 5 s, less a random part)
	freshSpread  = 2 * time.Second
	freshFor     = 30 * time.Second       // without an answer: the path is lost
	silentServer = 200 * time.Millisecond // how long the server's own check is waited for
	priority     = 126<<24 | 65535<<8 | 255
)

// ErrSilent is told when the node has not answered for 30 s.
var ErrSilent = errors.New("the node has gone silent")

// path is ICE (RFC 8445) as far as a client needs it that controls and goes to a node whose address it knows: checks to
// the node's candidates, answers to the node's own checks, and consent (RFC 7675). It names no candidates of its own: the
// node learns where its checks come from. All of it runs with the viewer's mutex held.
type path struct {
	ufrag, password string // its own
	theirs, secret  string // the node's
	tieBreaker      [8]byte
	candidates      []udp.Addr

	sent      []check // the newest, from count on the oldest; as many of each candidate as are remembered
	count     int
	chosen    udp.Addr // answered first; not valid before
	nominated bool     // a check that nominates chosen was answered
	answered  bool     // a check of the node's was answered
	chosenAt  time.Time
	heard     time.Time // when the node last answered
	next      time.Time // check
}

type check struct {
	id         [stun.TransactionIDSize]byte
	to         udp.Addr
	nominating bool
}

// to makes the path lead to a node, by its answer, which names a candidate at least.
func (p *path) to(a *answer) {
	p.theirs, p.secret, p.candidates = a.ufrag, a.password, a.candidates
	p.sent = make([]check, remembered*len(a.candidates))
}

// open says whether media can go both ways. A node that has answered, but makes no check of its own, is not waited for for
// long: it knows the address already.
func (p *path) open(now time.Time) bool {
	return p.nominated && (p.answered || now.Sub(p.chosenAt) >= silentServer)
}

// due makes the checks that are to be sent now, and reports whether the path is lost.
func (p *path) due(now time.Time, send func([]byte, udp.Addr)) (lost bool) {
	if now.Before(p.next) {
		return false
	}
	if p.open(now) {
		var random [2]byte
		_, _ = rand.Read(random[:]) // never fails
		p.next = now.Add(freshEvery + freshSpread*time.Duration(binary.BigEndian.Uint16(random[:]))>>16)
	} else {
		p.next = now.Add(checkAgain)
	}
	if p.chosen.IsValid() {
		p.check(p.chosen, true, send)
		return now.Sub(p.heard) >= freshFor
	}
	for _, to := range p.candidates {
		p.check(to, len(p.candidates) == 1, send)
	}
	return false
}

func (p *path) check(to udp.Addr, nominate bool, send func([]byte, udp.Addr)) {
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(p.theirs + ":" + p.ufrag),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: p.tieBreaker[:]},
		stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, priority)},
	}
	if nominate {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(p.secret), stun.Fingerprint)...)
	if err != nil {
		return // credentials were checked with the answer
	}
	p.sent[p.count%len(p.sent)] = check{m.TransactionID, to, nominate}
	p.count++
	send(m.Raw, to)
}

// message takes a STUN message.
func (p *path) message(b []byte, from udp.Addr, now time.Time, send func([]byte, udp.Addr)) {
	m := &stun.Message{Raw: bytes.Clone(b)}
	if m.Decode() != nil {
		return
	}
	switch m.Type {
	case stun.BindingRequest:
		p.request(m, from, send)
	case stun.BindingSuccess:
		p.success(m, from, now, send)
	}
}

// request answers a check of the node's, if it is the node's.
func (p *path) request(m *stun.Message, from udp.Addr, send func([]byte, udp.Addr)) {
	var name stun.Username
	integrity := stun.NewShortTermIntegrity(p.password)
	if name.GetFrom(m) != nil || name.String() != p.ufrag+":"+p.theirs || integrity.Check(m) != nil {
		return
	}
	at := from.AddrPort()
	answer, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: at.Addr().AsSlice(), Port: int(at.Port())}, integrity, stun.Fingerprint)
	if err != nil {
		return
	}
	p.answered = p.answered || !p.chosen.IsValid() || from == p.chosen
	send(answer.Raw, from)
}

// success takes the answer to a check. The first one that answers is chosen.
func (p *path) success(m *stun.Message, from udp.Addr, now time.Time, send func([]byte, udp.Addr)) {
	for i := range p.sent {
		c := &p.sent[i]
		if c.id != m.TransactionID || c.to != from {
			continue
		}
		if stun.NewShortTermIntegrity(p.secret).Check(m) != nil {
			return
		}
		p.heard = now
		if !p.chosen.IsValid() {
			p.chosen, p.chosenAt = from, now
		}
		if from != p.chosen {
			return
		}
		if c.nominating {
			p.nominated = true
		} else if !p.nominated {
			p.check(p.chosen, true, send)
		}
		return
	}
}
