package client

import (
	"net/netip"
	"time"
)

const (
	lookEvery   = 500 * time.Millisecond  // while all is well
	lookOften   = 100 * time.Millisecond  // while it is not
	doubtAfter  = 750 * time.Millisecond  // of silence on the media path, where checks are answered every iceKeepalive
	brokenAfter = 1500 * time.Millisecond // of silence, after which the path is taken for broken
	settleTime  = 300 * time.Millisecond  // for the old path to go on by itself when the network is back
)

// view is what a client sees of its network at one moment.
type view struct {
	server netip.AddrPort // that the socket leads to
	from   netip.Addr     // this machine's address from which the server was reached when the socket was opened
	route  netip.Addr     // and the one from which the server would be reached now; invalid: there is no way to it
	path   uint64         // packets and answered checks that have come over the media path
	flows  bool           // media is connected
}

// news is what a client should do something about. Each comes once.
type news struct {
	rerouted bool // the server is reached from another address: what was connected from the old one is lost
	returned bool // there was no way to the server for a while, and now there is the same one
	doubtful bool // nothing comes over the media path any more
	broken   bool // nothing has come for so long that it needs another path
}

// lookout tells from what is seen of the network what has changed. It keeps no clock and does nothing by itself.
type lookout struct {
	server netip.AddrPort
	from   netip.Addr
	route  netip.Addr // the last one that there was
	away   bool       // there is none now

	path    uint64
	heard   time.Time // when path last grew
	doubted bool
	broken  bool
}

// look takes what is seen now. Times do not go back.
func (l *lookout) look(v view, now time.Time) (n news) {
	if v.server != l.server || v.from != l.from { // another server may well be reached from another address
		l.server, l.from, l.route = v.server, v.from, v.from
	}
	switch {
	case !v.route.IsValid():
		l.away = l.route.IsValid() // who never had one cannot tell
	case l.route.IsValid() && v.route != l.route:
		n.rerouted = true
	case l.away:
		n.returned = true
	}
	if v.route.IsValid() {
		l.route, l.away = v.route, false
	}
	if !v.flows || v.path != l.path || n.rerouted {
		l.path, l.heard, l.doubted, l.broken = v.path, now, false, false
		return n
	}
	if n.returned {
		l.heard, l.broken = latest(l.heard, now.Add(settleTime-brokenAfter)), false
	}
	silence := now.Sub(l.heard)
	if silence >= doubtAfter && !l.doubted {
		l.doubted, n.doubtful = true, true
	}
	if silence >= brokenAfter && !l.broken && !l.away {
		l.broken, n.broken = true, true
	}
	return n
}

// uneasy says that something is wrong, or may be.
func (l *lookout) uneasy() bool { return l.away || l.doubted }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
