package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Start runs a program that is installed, until the test is over.
func Start(tb testing.TB, name string, args ...string) *Process {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("lab: %v: `make deps` installs what the tests need", err)
	}
	return start(tb, exec.Command(path, args...))
}

// CPU is the time that all threads of the process have run so far, in user mode and in the kernel, to a hundredth of a second.
func (p *Process) CPU(tb testing.TB) time.Duration {
	tb.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	const (
		tick  = 10 * time.Millisecond // proc(5): USER_HZ is 100 everywhere
		utime = 11                    // of the fields behind the name, which stands in brackets and may hold blanks
	)
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var ticks int64
	for _, field := range fields[utime : utime+2] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}
