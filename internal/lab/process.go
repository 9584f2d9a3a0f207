package lab

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
	"testing"
	"time"
)

const (
	commandLimit = time.Minute      // for a command to end
	startLimit   = 40 * time.Second // for a process to become ready
	stopLimit    = 20 * time.Second // for a process to stop well
)

// binaryEnv names a binary that is built already.
const binaryEnv = "LAB_BINARY"

// Build builds the parley binary and returns its path. A test's main function that calls BuildOnce spares the others.
func Build(tb testing.TB) string {
	tb.Helper()
	if binary := os.Getenv(binaryEnv); binary != "" {
		return binary
	}
	binary, err := build(Root(tb), "cmd/parley")
	if err != nil {
		tb.Fatal(err)
	}
	return binary
}

// BuildOnce builds the binary for all tests of the process. It is for TestMain.
func BuildOnce() error {
	root, err := root()
	if err != nil {
		return err
	}
	binary, err := build(root, "cmd/parley")
	if err != nil {
		return err
	}
	return os.Setenv(binaryEnv, binary)
}

// buildWAN builds the lab's network and returns its path.
func buildWAN(tb testing.TB) string {
	tb.Helper()
	binary, err := build(Root(tb), "internal/lab/wan")
	if err != nil {
		tb.Fatal(err)
	}
	return binary
}

func build(root, command string) (binary string, err error) {
	binary = filepath.Join(root, "artifacts", "lab", filepath.Base(command))
	cmd := exec.Command("go", "build", "-o", binary, "./"+command)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("lab: build %s: %w\n%s", command, err, out)
	}
	return binary, nil
}

// Parley runs the binary's command to its end and returns what it printed and its exit code. In a namespace, if one is named.
func Parley(tb testing.TB, namespace string, args ...string) (stdout, stderr string, code int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Build(tb), args...)
	inside(namespace, cmd)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		tb.Fatalf("lab: parley %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Process is a program that the lab started and will end.
type Process struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	result error         // of the program, once done is closed

	mu     sync.Mutex
	logs   bytes.Buffer
	copied io.Writer   // gets the logs too
	json   chan []byte // lines of standard output that begin with {
}

// startAs is start for one of many programs: what it says goes to a file of artifacts that is named after the test and the
// program.
func startAs(tb testing.TB, cmd *exec.Cmd, name string) *Process {
	tb.Helper()
	path := filepath.Join(artifacts(tb), tb.Name(), name+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { file.Close() })
	return run(tb, cmd, file)
}

// start runs the command until the test is over. Its output is shown when the test fails.
func start(tb testing.TB, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := run(tb, cmd, io.Discard)
	tb.Cleanup(func() {
		p.Kill(tb)
		if tb.Failed() {
			tb.Logf("what %s said:\n%s", filepath.Base(cmd.Path), p.Logs())
		}
	})
	return p
}

func run(tb testing.TB, cmd *exec.Cmd, copied io.Writer) *Process {
	tb.Helper()
	p := &Process{cmd: cmd, done: make(chan struct{}), json: make(chan []byte, 1), copied: copied}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
	cmd.Stderr = p
	if err := cmd.Start(); err != nil {
		tb.Fatalf("lab: start %s: %v", cmd.Path, err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.line(lines.Bytes())
		}
		p.result = cmd.Wait()
	}()
	tb.Cleanup(func() { p.Kill(tb) })
	return p
}

// Write implements io.Writer for the program's standard error.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.copied.Write(b)
	return p.logs.Write(b)
}

func (p *Process) line(line []byte) {
	if bytes.HasPrefix(line, []byte("{")) {
		select {
		case p.json <- bytes.Clone(line):
		default:
		}
	}
	_, _ = p.Write(append(bytes.Clone(line), '\n'))
}

// Logs is the last part of what the program wrote.
func (p *Process) Logs() string {
	const most = 20_000
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.logs.Bytes()
	return string(all[max(0, len(all)-most):])
}

// Terminate asks the program to end, and does not wait for it.
func (p *Process) Terminate(tb testing.TB) {
	tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("lab: %v", err)
	}
}

// Hangup tells the program to look at its files again.
func (p *Process) Hangup(tb testing.TB) {
	tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		tb.Errorf("lab: %v", err)
	}
}

// Stop asks the program to end and fails the test unless it does so well and soon.
func (p *Process) Stop(tb testing.TB) {
	tb.Helper()
	p.Terminate(tb)
	select {
	case <-p.done:
		if p.result != nil {
			tb.Errorf("lab: it did not stop well: %v", p.result)
		}
	case <-time.After(stopLimit):
		tb.Errorf("lab: it did not stop within %s", stopLimit)
		p.Kill(tb)
	}
}

// Kill ends the program at once, as kill -9 does, and waits until it is gone.
func (p *Process) Kill(tb testing.TB) {
	tb.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("lab: kill: %v", err)
	}
	<-p.done
}

// Running says whether the program still runs.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// RSS is the program's resident memory in bytes.
func (p *Process) RSS(tb testing.TB) int {
	tb.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				tb.Fatalf("lab: %v", err)
			}
			return kb << 10
		}
	}
	tb.Fatal("lab: the process has no resident memory: it has ended")
	return 0
}

// awaitJSON decodes the line of JSON with which the program says that it is ready.
func (p *Process) awaitJSON(tb testing.TB, into any) {
	tb.Helper()
	select {
	case line := <-p.json:
		if err := json.Unmarshal(line, into); err != nil {
			tb.Fatalf("lab: %v in %s", err, line)
		}
	case <-p.done:
		tb.Fatalf("lab: it ended before it was ready: %v", p.result)
	case <-time.After(startLimit):
		tb.Fatalf("lab: not ready after %s", startLimit)
	}
}

// Until polls what until it is true and fails the test when that takes longer than limit.
func Until(tb testing.TB, limit time.Duration, expectation string, what func() bool) {
	tb.Helper()
	untilEvery(tb, 10*time.Millisecond, limit, expectation, what)
}

// untilAsked is Until for what is asked over HTTP and logged there.
func untilAsked(tb testing.TB, limit time.Duration, expectation string, what func() bool) {
	tb.Helper()
	untilEvery(tb, 100*time.Millisecond, limit, expectation, what)
}

func untilEvery(tb testing.TB, every, limit time.Duration, expectation string, what func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	poll := time.NewTicker(every)
	defer poll.Stop()
	for !what() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			tb.Fatalf("not within %s: %s", limit, expectation)
		}
	}
}
