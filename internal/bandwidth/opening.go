package bandwidth

const (
	openingLasts = 2 * second // from the first probe: a remote that answers has answered by then
	openingLoses = second     // in which loss is found to be the path's own, if it is
)

// opening is the time in which nothing is known of the path's end: nothing was too much, and probes, if any were sent, have no answer. Until then the
// estimate says what has been tried, and nothing of what would not go.
type opening struct {
	over  bool
	began int64 // when the first probe did; 0 before
	loses int64 // since when loss limits the rate; 0 while it does not
}

// Opening reports whether the end of the path is still being looked for: nothing that was sent has been too much, and the first probes, if
// there were any, have not been answered. Who sends more than the estimate meanwhile helps to find out.
func (e *Estimator) Opening() bool { return !e.opening.over }

// Heard reports whether the remote has told anything of what came. Without that the estimate means nothing.
func (e *Estimator) Heard() bool { return e.heard || e.reported }

// end notes that the path, or all that is wanted of it, has been found.
func (o *opening) end() { o.over = true }

// begin notes a probe.
func (o *opening) begin(now int64) {
	if o.began == 0 {
		o.began = max(now, 1)
	}
}

// lose ends an opening in which loss goes on to limit the rate.
func (o *opening) lose(limited bool, now int64) {
	switch {
	case !limited:
		o.loses = 0
	case o.loses == 0:
		o.loses = max(now, 1)
	case now-o.loses > openingLoses:
		o.end()
	}
}

// tick ends an opening that nothing comes of.
func (o *opening) tick(now int64) {
	if o.began != 0 && now-o.began > openingLasts {
		o.end()
	}
}
