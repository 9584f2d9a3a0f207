package rtc

import (
	"crypto/rand"
	"time"
)

// agent is this end of ICE (RFC 8445) towards one remote, between two restarts. It is a full agent that pairs its one socket
// with the addresses that signed checks come from, and with none that anybody names. It has no goroutine and waits for nothing: the
// mux answers checks where they are read, and repeats its own by the endpoint's clock.
type agent struct {
	t        *Transport
	ufrag    string
	secret   string   // the password as SDP has it
	password password // signs what the remote asks and what this end answers

	// Guarded by the mux's mutex.
	user     string    // USERNAME of this end's checks
	theirs   *password // signs what this end asks and what the remote answers; nil before its credentials are known
	heir     heir
	controls bool // this end nominates; the other one follows
	paths    paths
	relaxed  bool // checks are to be rare

	relaysFrom time.Time // until then an agent without a path answers over no relay
}

// heir is what the remote has offered since for a restart. A remote that has made a socket for it before it had the answer goes
// from there to this agent still, and knows this end's checks only by its new credentials.
type heir struct {
	ufrag  string
	theirs *password
}

const (
	ufragLength = 12 // of 32 letters: 60 bits, so that no two agents of a node have the same
	checkFirst  = 100 * time.Millisecond
	checkLast   = 1600 * time.Millisecond
	checkDialed = 200 * time.Millisecond // at most between two checks to an address that is gone to unasked

	// A relay is the last resort, but one that stands beside this node answers before other ways have been looked for. Browsers gather in
	// steps of 50 ms, from before they offer: UDP, relays, ICE-TCP, and no more of them once they have a path.
	relayPatience = 100 * time.Millisecond
)

func newAgent(t *Transport) *agent {
	a := &agent{t: t, ufrag: rand.Text()[:ufragLength], secret: rand.Text(), paths: newPaths(), relaysFrom: time.Now().Add(relayPatience)}
	a.password.set(a.secret)
	return a
}

// credentials are those that the remote knows this end's checks by at an address: the USERNAME, and what signs them.
func (a *agent) credentials(p *path) (user string, theirs *password) {
	if p.sender != "" && p.sender == a.heir.ufrag {
		return p.sender + ":" + a.ufrag, a.heir.theirs
	}
	return a.user, a.theirs
}

// gap is the least time between two checks to an address: to one that has never answered each time twice as long as before (RFC
// 8489 section 6.2.1).
func (*agent) gap(p *path) time.Duration {
	longest := checkLast
	switch {
	case !p.answered.IsZero():
		return checkFirst
	case p.dialled:
		longest = checkDialed
	}
	return min(checkFirst<<min(max(p.unanswered-1, 0), 4), longest)
}

// holds reports whether what comes over a relay is not answered yet.
func (a *agent) holds(p *path, now time.Time) bool {
	return p.relayed && !a.paths.anyAnswered && now.Before(a.relaysFrom)
}

// due reports whether an address is to be checked without a check from there: until it has answered, and then as long as it is the
// path in use, or was last.
func (a *agent) due(s source, p *path, now time.Time) bool {
	if a.holds(p, now) {
		return false
	}
	if p.answered.IsZero() {
		return a.theirs != nil && now.Sub(p.asked) >= a.gap(p)
	}
	if now.Before(p.again()) || a.relaxed && now.Sub(p.asked) < relaxedKeepalive {
		return false
	}
	last := a.t.agreed.Load()
	return last != nil && *last == s && (a.t.converse != nil || now.Sub(p.answered) < consentFor)
}
