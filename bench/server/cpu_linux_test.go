package server

import (
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "burn" { // the program of TestCPU
		burn()
		return
	}
	goleak.VerifyTestMain(m)
}

const burnt = 100 * time.Millisecond

// burn uses a known amount of CPU time in a thread that then ends, and says so.
func burn() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for {
			var used unix.Rusage
			if unix.Getrusage(unix.RUSAGE_THREAD, &used) != nil || used.Utime.Nano()+used.Stime.Nano() > int64(burnt) {
				return
			}
		}
	}()
	<-done
	os.Stdout.WriteString("{}\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestCPUCountsThreadsThatHaveEnded(t *testing.T) {
	p, err := Start(t.Context(), os.Args[0], "burn")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if err := p.Ready(&struct{}{}); err != nil {
		t.Fatal(err)
	}
	used, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if starting := time.Second; used < burnt || used > burnt+starting {
		t.Errorf("CPU = %s of a program that used %s", used, burnt)
	}
	if memory, err := p.Memory(); err != nil || memory < 1<<20 {
		t.Errorf("memory = %.0f, %v", memory, err)
	}
	if files, err := p.Files(); err != nil || files < 3 {
		t.Errorf("files = %.0f, %v", files, err)
	}
}
