package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Results is where tables and plots of a run go that somebody wants to keep: the folder that LAB_RESULTS names, or that of the
// other artifacts.
func Results(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("LAB_RESULTS")
	if dir == "" {
		return artifacts(tb)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Picture draws an SVG of that size as name.png among the results. The browser does it: nothing else here knows fonts.
func Picture(tb testing.TB, name string, svg []byte, width, height int) {
	tb.Helper()
	source := filepath.Join(tb.TempDir(), name+".svg")
	if err := os.WriteFile(source, svg, 0o600); err != nil {
		tb.Fatal(err)
	}
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), time.Minute)
	defer cancel()
	target := filepath.Join(Results(tb), name+".png")
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-background-networking", "--user-data-dir="+tb.TempDir(), fmt.Sprintf("--window-size=%d,%d", width, height),
		"--screenshot="+target, "file://"+source)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Errorf("lab: draw %s: %v\n%s", target, err, out)
		return
	}
	fmt.Fprintln(tb.Output(), "  plot:", target)
}
