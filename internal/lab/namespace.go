package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/parley-sfu/parley/internal/lab/network"
)

// sweep is for once a process.
var sweep sync.Once //nolint:gochecknoglobals // what it does is outside this process

// namespace is a network namespace that the test made. Sockets that do opens belong to it for as long as they live.
type namespace struct {
	name string
	file *os.File
}

// newNamespace makes a namespace with a loopback that is gone when the test is over. It needs to be root.
func newNamespace(tb testing.TB, suffix string) *namespace {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Fatal("lab: this test makes network namespaces and opens sockets in them: run it as root, or with go test -exec 'sudo -n -E'")
	}
	sweep.Do(func() { sweepNamespaces(tb) })
	n := &namespace{name: fmt.Sprintf("parley-%d-%s", os.Getpid(), suffix)}
	privileged(tb, "ip", "netns", "add", n.name)
	tb.Cleanup(func() { privileged(tb, "ip", "netns", "delete", n.name) })
	n.ip(tb, "link", "set", "lo", "up")
	var err error
	if n.file, err = os.Open(filepath.Join(network.Namespaces, n.name)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { n.file.Close() })
	return n
}

// sweepNamespaces removes what a test process left that was killed before it could clean up: its namespaces and all that
// runs in them.
func sweepNamespaces(tb testing.TB) {
	tb.Helper()
	left, err := filepath.Glob(filepath.Join(network.Namespaces, "parley-[0-9]*-*"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, path := range left {
		name := filepath.Base(path)
		owner := strings.Split(name, "-")[1]
		if _, err := os.Stat(filepath.Join("/proc", owner)); err == nil {
			continue // another test's
		}
		for field := range strings.FieldsSeq(privileged(tb, "ip", "netns", "pids", name)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		privileged(tb, "ip", "netns", "delete", name)
	}
}

// ip configures the namespace.
func (n *namespace) ip(tb testing.TB, args ...string) string {
	tb.Helper()
	return privileged(tb, "ip", append([]string{"-n", n.name}, args...)...)
}

// do calls f on a thread that is in the namespace: what it opens stays there. f must not leave its goroutine for that.
func (n *namespace) do(f func() error) error { return network.Enter(n.file, f) }

// autogroup holds the priority of a session among the sessions of the machine, where the kernel shares out processors by
// session (sched(7)); that of a process counts only inside its session then.
const autogroup = "/proc/self/autogroup"

// goFirst puts this session, with all that it starts, before the others for as long as the test runs: what else the
// machine does must not look like a slow network.
func goFirst(tb testing.TB) {
	tb.Helper()
	if err := os.WriteFile(autogroup, []byte("-10"), 0); err != nil {
		return // the kernel knows no such thing
	}
	tb.Cleanup(func() { _ = os.WriteFile(autogroup, []byte("0"), 0) })
}

// command is a server that runs in the namespace.
func (n *namespace) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) //nolint:noctx // it lives until it is killed or stopped
	inside(n.name, cmd)
	return cmd
}

// forceReadBuffer gives a socket more than the system's limit, as root may.
func forceReadBuffer(conn *net.UDPConn, bytes int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
	})
	return errors.Join(err, refused)
}
