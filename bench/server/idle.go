package server

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// MachineIdle is the time that all CPUs together have stood idle since the machine started; it is unknown where there is no /proc/stat.
func MachineIdle() (sum time.Duration, ok bool) {
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
