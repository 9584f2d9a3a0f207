package udp

import "sync/atomic"

const gateShut = int64(1) << 62

// gate keeps a file descriptor open as long as a call uses it: the number could be another file's a moment after closing.
type gate struct {
	state atomic.Int64  // users inside, plus gateShut
	empty chan struct{} // closed when the gate is shut and the last user has left
}

// enter reports whether the caller may use the descriptor; if so it must leave.
func (g *gate) enter() bool {
	for {
		state := g.state.Load()
		if state&gateShut != 0 {
			return false
		}
		if g.state.CompareAndSwap(state, state+1) {
			return true
		}
	}
}

func (g *gate) leave() {
	if g.state.Add(-1) == gateShut {
		close(g.empty)
	}
}

// shut lets nobody in any more. It must be called once.
func (g *gate) shut() {
	if g.state.Or(gateShut) == 0 {
		close(g.empty)
	}
}

func (g *gate) isShut() bool { return g.state.Load()&gateShut != 0 }
