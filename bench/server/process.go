package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 40 * time.Second // for a program to say that it is ready
	stopLimit  = 20 * time.Second // for a program to end when it is asked to
)

// A Process is a running program. Its methods are safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan []byte // of standard output that begin with {
	ended chan struct{}

	mu   sync.Mutex // protects following
	said bytes.Buffer
}

// Start runs a command until Stop. The context bounds only the program's own life: when it ends, so does the program.
func Start(ctx context.Context, path string, args ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	p := &Process{cmd: cmd, lines: make(chan []byte, 1), ended: make(chan struct{})}
	cmd.Stderr = p
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	go func() {
		defer close(p.ended)
		defer close(p.lines)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if bytes.HasPrefix(lines.Bytes(), []byte("{")) {
				p.lines <- bytes.Clone(lines.Bytes())
			}
		}
		_ = cmd.Wait() // how it ended is told by what it said
	}()
	return p, nil
}

// Write implements io.Writer for the program's standard error, of which the last part is kept.
func (p *Process) Write(b []byte) (int, error) {
	const most = 1 << 16
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said.Len() > most {
		p.said.Reset()
	}
	return p.said.Write(b)
}

// Said is the last part of what the program wrote to its standard error.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// Tell writes a value to the program's standard input, as a line of JSON.
func (p *Process) Tell(value any) error { return json.NewEncoder(p.stdin).Encode(value) }

// Hear waits for the program's next line of JSON and decodes it. It gives up after limit.
func (p *Process) Hear(limit time.Duration, into any) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return fmt.Errorf("%s has ended: %s", p.name(), p.Said())
		}
		return json.Unmarshal(line, into)
	case <-timer.C:
		return fmt.Errorf("%s says nothing for %s", p.name(), limit)
	}
}

// Ready waits until the program has told where it is found, as one line of JSON.
func (p *Process) Ready(into any) error { return p.Hear(startLimit, into) }

func (p *Process) name() string { return filepath.Base(p.cmd.Path) }

// Stop asks the program to end, by a signal and by the end of its input, waits until it has, and ends it by force when that takes too long.
func (p *Process) Stop() error {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	for {
		select {
		case _, ok := <-p.lines:
			if !ok {
				<-p.ended
				return nil
			}
		case <-timer.C:
			return errors.Join(fmt.Errorf("%s did not stop within %s", p.name(), stopLimit), p.cmd.Process.Kill())
		}
	}
}

// Memory is the program's resident memory in bytes.
func (p *Process) Memory() (float64, error) {
	status, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, err
	}
	return residentIn(string(status))
}

// residentIn finds the resident memory, in bytes, in the text of /proc/PID/status.
func residentIn(status string) (float64, error) {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		if err != nil {
			return 0, fmt.Errorf("resident memory: %w", err)
		}
		return kb * 1024, nil
	}
	return 0, errors.New("resident memory: the process has ended")
}

// Files counts the program's open file descriptors.
func (p *Process) Files() (float64, error) {
	entries, err := os.ReadDir(p.proc("fd"))
	return float64(len(entries)), err
}

func (p *Process) proc(what string) string {
	return filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), what)
}
