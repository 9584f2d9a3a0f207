package node

import "time"

// A link carries everything until it has turned out to be too much: there is nothing to be found out before, and whoever is shown
// something new must not wait for a probe. From then on it is a way like a viewer's, until it has been calm for a while and carries
// all that is wanted.

const (
	// strainAfter is how long a link must be overused to be taken for too narrow, which takes two messages of feedback. One late
	// reader makes a queue as well.
	strainAfter = 60 * time.Millisecond

	// strainQueue is the queue without which a link is not too narrow: what varies on a long way looks like overuse for a while.
	strainQueue = 20 * time.Millisecond

	// strainPlainly is a queue that no reader makes which is merely late: all of the last eight numbered packets have waited for so long. Where the path has become
	// much narrower nobody waits for that.
	strainPlainly = 100 * time.Millisecond

	// calmFor is how long after that it must not have been overused to be trusted again. Until then keyframes that come together wait here.
	calmFor = 30 * time.Second

	// linkSilence is how long feedback may stay out: where little comes it is about single pictures, and heartbeats tell of an outage sooner.
	linkSilence = 3 * time.Second

	// linkMost bounds the estimate of a link, in bit/s.
	linkMost = 1_000_000_000
)

// Numbers and the reports on them must be cheap: only pictures have them, at the end of one when so many bytes have left without, for all of which the one
// stands. While they are paced each of their packets has one. Voices have none: they go whatever the estimate says.
const (
	numberEvery = 2500
	numberOften = 1000 // where the link is limited
)

// due reports whether the next picture that ends gets a number.
func (w *way) due() bool {
	every := int64(numberEvery)
	if w.narrowed.Load() {
		every = numberOften
	}
	return w.unnumbered.Load() >= every
}

// strain is what a link's way remembers of having been too narrow. The way's mutex guards it.
type strain struct {
	began int64 // of the overuse that goes on; 0 while there is none
	last  int64 // when the link was last overused for long; 0 before
}

// allowance is what may be sent again over a narrow way. It is not safe for concurrent use.
type allowance struct {
	bits float64
	at   int64 // when it was looked at last; 0 before
}

// take spends n bytes, if there are so many: bitrate is what adds up in a second.
func (a *allowance) take(n int, bitrate float64, now int64) bool {
	most := bitrate * repairBurst / 1e9
	if a.at == 0 {
		a.bits = most
	}
	a.bits, a.at = min(most, a.bits+bitrate*time.Duration(now-a.at).Seconds()), now
	if a.bits < float64(8*n) {
		return false
	}
	a.bits -= float64(8 * n)
	return true
}

// repairs reports whether n bytes of a lost picture may be sent again, and counts them.
func (w *way) repairs(n int, now int64) bool {
	if !w.narrowed.Load() {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.again.take(n, repairShare*float64(w.estimator.Rate()), now)
}

// newLinkWay is the way over a link that has just come up. If the one before it was too narrow, which may be why it died, it begins
// with as much as that carried.
func newLinkWay(n *Node, before *way, now int64) *way {
	w := &way{cfg: n.bandwidth, link: true}
	w.cfg.Max, w.cfg.Silence, w.cfg.Short = linkMost, linkSilence, true
	if before != nil {
		if rate, limited := before.linkBudget(now); limited {
			w.cfg.Start, w.strain.last = max(w.cfg.Min, int(rate)), now
		}
	}
	w.number()
	return w
}

// look notes whether the link is overused, or more than that, and reports whether it has turned out to be too narrow. It is called when feedback has come.
func (s *strain) look(overused, plainly bool, now int64) (narrow bool) {
	switch {
	case !overused:
		s.began = 0
	case s.began == 0 && !plainly:
		s.began = now
	case plainly || now-s.began >= int64(strainAfter):
		narrow = s.last == 0
		s.last = now
	}
	return narrow
}

// heard looks at the way after feedback. It reports whether what goes over it must be divided at once.
func (w *way) heard(now int64) (narrow bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.estimator.Stats().Queue
	narrow = w.strain.look(w.estimator.Overused() && queue > strainQueue, queue > strainPlainly || w.estimator.Cut(), now)
	switch {
	case narrow:
		w.estimator.Yield(now)
	case w.strain.last == 0:
		w.estimator.Trust(now)
	}
	return narrow
}

// linkBudget is what a link may carry, in bit/s; limited is false as long as there is no reason to limit it.
func (w *way) linkBudget(now int64) (bitrate int64, limited bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rate := int64(w.estimator.Budget())
	defer func() { w.narrowed.Store(limited) }()
	if w.strain.last != 0 && now-w.strain.last > int64(calmFor) && rate >= w.wanted {
		w.strain.last = 0
	}
	return rate, w.strain.last != 0
}

// linkDivided notes what goes over the link and what would. A link that is not limited is not probed.
func (w *way) linkDivided(limited bool, allocated, wanted int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allocated, w.wanted = allocated, wanted
	search := int64(0)
	if limited {
		search = wanted + wanted/5
	}
	w.estimator.Want(int(search))
}
