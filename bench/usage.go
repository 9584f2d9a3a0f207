package bench

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/parley-sfu/parley/bench/server"
)

// Usage is what a swarm process used of its machine. Share is what its figures are judged by: of the CPU time that the
// machine gave it, or would have given it, the part that it took. What the machine gives is the CPUs that Go may use
// (affinity and cgroup limits counted), but not more than what the process took and what stood idle: where a server on the
// same machine takes the rest, there is nothing left of that for swarm.
//
// What a packet and a person cost is of the whole process: publishers, verifying and signalling are in it.
type Usage struct {
	Agent           string  `json:"agent,omitempty"`
	Share           float64 `json:"cpu_share"` // of Given
	Cores           float64 `json:"cpu_cores"`
	Given           float64 `json:"cpu_given_cores"`
	MicrosPerPacket float64 `json:"cpu_us_per_packet"`    // of RTP received
	MemoryPerPerson float64 `json:"memory_kb_per_person"` // resident memory that it grew by since nobody was in
}

// per works out what was used in a time for each packet and each person.
func (u *Usage) per(took time.Duration, packets uint64, grown int64, people int) {
	const micro, kilo = 1e6, 1e3
	if packets > 0 {
		u.MicrosPerPacket = u.Cores * took.Seconds() * micro / float64(packets)
	}
	if people > 0 {
		u.MemoryPerPerson = float64(max(grown, 0)) / kilo / float64(people)
	}
}

// A meter measures usage from one moment on.
type meter struct {
	at        time.Time
	own, idle time.Duration
	whole     bool // idle is known
}

func newMeter() meter {
	m := meter{at: time.Now(), own: ownCPU()}
	m.idle, m.whole = server.MachineIdle()
	return m
}

// read is the usage since the meter was made.
func (m meter) read(agent string) Usage {
	now := newMeter()
	cpus := float64(runtime.GOMAXPROCS(0))
	return share(agent, now.at.Sub(m.at), now.own-m.own, now.idle-m.idle, cpus, m.whole && now.whole)
}

// share judges the use of a machine during a time.
func share(agent string, took, own, idle time.Duration, cpus float64, known bool) Usage {
	u := Usage{Agent: agent, Given: cpus}
	if took <= 0 {
		return u
	}
	u.Cores = own.Seconds() / took.Seconds()
	if known {
		u.Given = min(cpus, (own+max(idle, 0)).Seconds()/took.Seconds())
	}
	if u.Given > 0 {
		u.Share = min(u.Cores/u.Given, 1)
	}
	return u
}

// ownCPU is the time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory that this process occupies, in bytes; 0 where there is no /proc/self/statm.
func resident() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm) // size resident shared …, in pages
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
