package turn

import (
	"net/netip"
	"slices"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// Error codes of STUN (RFC 8489 section 14.8) and TURN (RFC 8656 section 19).
const (
	codeBadRequest       = 400
	codeUnauthorized     = 401
	codeForbidden        = 403
	codeUnknownAttribute = 420
	codeMismatch         = 437
	codeStaleNonce       = 438
	codeFamily           = 440
	codeWrongCredentials = 441
	codeTransport        = 442
	codePeerFamily       = 443
	codeQuota            = 486
	codeCapacity         = 508
)

const (
	minAllocation = 10 * time.Minute // RFC 8656 section 7.2: nobody gets less than the default
	maxAllocation = 50 * time.Minute
	pionLonger    = time.Minute // than the client is told: the end of an allocation is decided here
)

// control takes one message that is no data: it is dropped, refused, or goes to pion. It does not keep b.
func (d *door) control(b []byte, from netip.AddrPort, st *stream) {
	client := udp.AddrFrom(from)
	s := d.session(client)
	if s != nil && !s.paced(d.s.now(), d.s.perSession) || s == nil && !d.s.pace.allow(from.Addr()) {
		d.s.metrics.refused(reasonRate)
		return
	}
	m, ok := parseMessage(append([]byte(nil), b...))
	if !ok || m.class != classRequest || !known(m.method) {
		d.s.metrics.refused(reasonMalformed)
		return
	}
	r := &request{msg: m, from: from, stream: st, session: s}
	d.authenticate(r)
	if r.key != nil && s != nil && m.method != methodAllocate && r.participant != s.participant {
		d.refuse(r, codeWrongCredentials)
		return
	}
	r.refusal = d.judge(r)
	d.rewrite(r)
	select {
	case d.requests <- r:
	default:
		d.s.metrics.refused(reasonRate)
	}
}

func known(method uint16) bool {
	switch method {
	case methodBinding, methodAllocate, methodRefresh, methodCreatePermission, methodChannelBind:
		return true
	}
	return false
}

// authenticate finds out whose request it is, if it proves that. An allocation that is there goes on under the credential that it
// was made with: neither its expiry nor the end of its secret ends a call. A new one takes a credential that is good now.
func (d *door) authenticate(r *request) {
	m := &r.msg
	if m.integrity == 0 || m.method == methodBinding || string(m.realm) != d.s.cfg.Realm || len(m.nonce) == 0 || len(m.nonce) > maxNonce {
		return
	}
	expires, participant, ok := parseUsername(m.username)
	if !ok || d.s.revoked(participant) {
		d.s.metrics.refused(reasonCredential)
		return
	}
	var keys [][]byte
	switch {
	case r.session != nil && r.session.username == m.username:
		keys = [][]byte{r.session.key}
	case m.method == methodAllocate && !d.s.now().Before(expires):
		d.s.metrics.refused(reasonExpired)
		return
	default:
		keys = d.s.credentials.keys(m.username)
	}
	for _, key := range keys {
		if m.signed(key) {
			r.key, r.participant = key, participant
			return
		}
	}
	d.s.metrics.refused(reasonCredential)
}

// judge says what is wrong with a request in ways that pion does not know of, or 0. pion looks at the nonce first.
func (d *door) judge(r *request) int {
	m := &r.msg
	if len(m.unknown) > 0 {
		return codeUnknownAttribute
	}
	switch m.method {
	case methodAllocate:
		return d.judgeAllocation(m)
	case methodChannelBind:
		if len(m.peers) != 1 || m.badPeer || !m.hasChannel || m.channel < minChannel || m.channel > maxChannel {
			return codeBadRequest
		}
		return d.judgePeers(r)
	case methodCreatePermission:
		if len(m.peers) == 0 || m.badPeer {
			return codeBadRequest
		}
		return d.judgePeers(r)
	default:
		return 0
	}
}

func (d *door) judgeAllocation(m *message) int {
	four, six := d.s.relayed(false).IsValid(), d.s.relayed(true).IsValid()
	switch {
	case m.hasTransport && m.transport != transportUDP:
		return codeTransport
	case m.reservation || m.reserveNext:
		return codeCapacity // a second port was for RTCP of old; none is ever set aside
	case m.additional || m.hasFamily && m.family == familyIPv4 && !four || m.hasFamily && m.family == familyIPv6 && !six ||
		m.hasFamily && m.family != familyIPv4 && m.family != familyIPv6:
		return codeFamily
	case !m.hasFamily && !four && six:
		m.family = familyIPv6 // where there is nothing else, better that than none
	}
	return 0
}

func (d *door) judgePeers(r *request) int {
	for _, p := range r.msg.peers {
		if !d.s.allow.allows(p) {
			d.s.metrics.refused(reasonPeer)
			return codeForbidden
		}
	}
	if r.session == nil {
		return 0 // pion says so
	}
	other := func(p netip.AddrPort) bool { return p.Addr().Is6() != r.session.six }
	switch {
	case slices.ContainsFunc(r.msg.peers, other):
		return codePeerFamily
	case !r.session.room(r.msg.peers):
		return codeCapacity
	}
	return 0
}

// rewrite puts together what pion sees: what was understood, and signed only if it was.
func (d *door) rewrite(r *request) {
	m := &r.msg
	w := newWriter(nil, m.method, classRequest, m.transaction)
	if m.method == methodAllocate || m.method == methodRefresh {
		r.lifetime = granted(m)
	}
	if r.key == nil {
		r.raw = w.bytes()
		return
	}
	w.attr(attrUsername, []byte(m.username))
	w.attr(attrRealm, m.realm)
	w.attr(attrNonce, m.nonce)
	switch m.method {
	case methodAllocate:
		if m.hasTransport {
			w.attr(attrTransport, []byte{m.transport, 0, 0, 0})
		}
		if m.dontFragment {
			w.attr(attrDontFragment, nil)
		}
		fallthrough
	case methodRefresh:
		lifetime := r.lifetime
		if lifetime > 0 {
			lifetime += pionLonger
		}
		w.attr32(attrLifetime, uint32(lifetime.Seconds()))
	case methodCreatePermission, methodChannelBind:
		if m.hasChannel {
			w.attr32(attrChannelNumber, uint32(m.channel)<<16)
		}
		for _, p := range m.peers {
			w.address(attrPeerAddress, p)
		}
	}
	w.sign(r.key)
	r.raw = w.bytes()
}

// granted is how long an allocation is good for when so much is asked for. Only Refresh may ask for nothing: that ends it.
func granted(m *message) time.Duration {
	asked := time.Duration(m.lifetime) * time.Second
	if m.hasLifetime && asked == 0 && m.method == methodRefresh {
		return 0
	}
	return min(max(asked, minAllocation), maxAllocation)
}
