package rtc

import "time"

const (
	maxPaths      = 16          // addresses that one agent speaks with at a time
	newPathEvery  = time.Second // beyond the first maxPaths
	askAgain      = time.Second // after a check that was not answered, where there were answers before
	maxUnanswered = 8           // checks to an address that has not answered any: RFC 8445 section 14.3 sends as many
)

// paths are the addresses that signed checks of an agent's remote came from. They bound what an agent sends to whom: a
// recorded check that is sent again from forged addresses brings each of them one answer and a few checks, and few of them
// anything. It is not safe for concurrent use.
type paths struct {
	all    map[source]*path
	tokens float64
	filled time.Time

	anyAnswered bool      // ever
	quiet       time.Time // no check is due before; zero: one may be
}

// path is one address.
type path struct {
	heard      time.Time // when a signed check last came from there
	asked      time.Time // when a check last went there; zero: never
	answered   time.Time // when it last answered one; zero: never
	unanswered int       // checks sent since
	sender     string    // the remote's user name fragment in the last check from there
	relayed    bool      // it is a relay's end
	dialled    bool      // this end has gone there by itself
}

func newPaths() paths { return paths{all: map[source]*path{}, tokens: maxPaths} }

// dial adds an address that is gone to unasked.
func (p *paths) dial(s source) { p.add(s, &path{dialled: true}) }

func (p *paths) add(s source, c *path) { p.all[s], p.quiet = c, time.Time{} }

// untilDue is a time before which no address is due: while all have answered, there is one. Asking moves it on, and nothing but a
// new address brings it nearer.
func (p *paths) untilDue() (quiet time.Time) {
	for _, c := range p.all {
		if c.answered.IsZero() {
			return time.Time{}
		}
		if at := c.again(); quiet.IsZero() || at.Before(quiet) {
			quiet = at
		}
	}
	return quiet
}

// again is when an address that has answered is to be checked without a check from there. Its own checks show as well that it is
// there, and with the next of them one can go that costs nobody a wake-up.
func (c *path) again() time.Time {
	if c.unanswered > 0 {
		return c.asked.Add(askAgain)
	}
	atLast, quiet := c.asked.Add(iceConsent+askAgain), c.heard.Add(iceQuiet)
	if atLast.Before(quiet) {
		return atLast
	}
	return later(c.asked.Add(iceKeepalive), quiet)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// heard notes a signed check, and the fragment that its sender goes by. It returns false for an address too many.
func (p *paths) heard(s source, sender string, now time.Time) bool {
	if old := p.all[s]; old != nil {
		old.heard, old.sender = now, sender
		return true
	}
	if !p.filled.IsZero() {
		p.tokens = min(maxPaths, p.tokens+now.Sub(p.filled).Seconds()/newPathEvery.Seconds())
	}
	p.filled = now
	if p.tokens < 1 {
		return false
	}
	p.tokens--
	if len(p.all) >= maxPaths {
		p.drop()
	}
	p.add(s, &path{heard: now, sender: sender})
	return true
}

// drop forgets the address that is least likely to matter: one that never answered, of these the one that was silent longest.
func (p *paths) drop() {
	var worst source
	var least *path
	for s, c := range p.all {
		switch {
		case c.dialled:
		case least == nil, c.answered.IsZero() && !least.answered.IsZero(),
			c.answered.IsZero() == least.answered.IsZero() && c.heard.Before(least.heard):
			worst, least = s, c
		}
	}
	delete(p.all, worst)
}

// ask counts a check that is to be sent, and reports whether it may.
func (p *paths) ask(s source, now time.Time) bool {
	c := p.all[s]
	if c == nil || c.answered.IsZero() && c.unanswered >= maxUnanswered && !c.dialled {
		return false
	}
	c.asked = now
	c.unanswered++
	return true
}

// answered notes that an address has answered a check, and reports whether it is one of the paths.
func (p *paths) answered(s source, now time.Time) bool {
	c := p.all[s]
	if c == nil {
		return false
	}
	c.answered, c.unanswered = now, 0
	p.anyAnswered = true
	return true
}

func (p *paths) proved(s source, since time.Time) bool {
	c := p.all[s]
	return c != nil && !c.answered.IsZero() && !c.answered.Before(since)
}
