package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Browse runs one of the tests of internal/lab/browser, which drive real browsers, against the node. In a namespace, if
// one is named, else on loopback. What it prints becomes the test's log, and it fails the test when it fails.
func Browse(tb testing.TB, n *Node, script, namespace string, limit time.Duration, env ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	dir := filepath.Join(Root(tb), "internal", "lab", "browser")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		tb.Fatal("lab: the browser tests are not installed: make browser-deps")
	}
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LAB_URL="+n.URL, "LAB_TOKEN="+n.Token, "NO_COLOR=1", "ARTIFACTS="+artifacts(tb))
	cmd.Env = append(cmd.Env, env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	inside(namespace, cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		tb.Fatalf("lab: node: %v", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(tb.Output(), lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		tb.Errorf("lab: %s: %v", script, err)
	}
}

// artifacts is where screenshots and reports of a run go.
func artifacts(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(Root(tb), "artifacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}
