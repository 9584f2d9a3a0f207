package server

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the time that all threads of the program have run so far, in user and kernel mode, ended ones included. It is the
// kernel's own count in nanoseconds (clock_getcpuclockid(3)); /proc would round it to a tick of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED, of the whole process
	clock := int32(^p.cmd.Process.Pid)<<3 | scheduled
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("CPU time of %s: %w", p.name(), err)
	}
	return time.Duration(ts.Nano()), nil
}
