package path

import (
	"runtime"
	"syscall"
	"time"

	"github.com/parley-sfu/parley/bench/server"
)

// A moment is how long this process has run and all CPUs together have stood idle, up to then.
type moment struct {
	at        time.Time
	own, idle time.Duration
	known     bool // idle is
}

func thisMoment() moment {
	m := moment{at: time.Now()}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		m.own = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	m.idle, m.known = server.MachineIdle()
	return m
}

// others is the part of the machine that others took since an earlier moment, from 0 to 1: neither this process, nor the one that
// used so much, nor nobody. It is 0 where the machine does not tell.
func (m moment) others(since moment, used time.Duration) float64 {
	whole := m.at.Sub(since.at).Seconds() * float64(runtime.NumCPU())
	if whole <= 0 || !m.known || !since.known {
		return 0
	}
	ours := used + m.own - since.own + m.idle - since.idle
	return min(max(1-ours.Seconds()/whole, 0), 1)
}
