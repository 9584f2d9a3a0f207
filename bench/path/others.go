package path

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
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
	m.idle, m.known = idleTime()
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

// idleTime reads /proc/stat, if there is one.
func idleTime() (sum time.Duration, ok bool) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line) // cpu user nice system idle iowait …
	const idle, iowait, tick = 4, 5, 10 * time.Millisecond
	if len(fields) <= iowait {
		return 0, false
	}
	for _, field := range fields[idle : iowait+1] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, false
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, true
}
