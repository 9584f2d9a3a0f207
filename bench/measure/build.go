package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/parley-sfu/parley/bench/path"
)

// binDir is where binaries to be measured are built, below the repository's root.
const binDir = "artifacts/measure"

// build builds a command of this repository and returns its path.
func build(ctx context.Context, command string) (string, error) {
	root, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(root, binDir, filepath.Base(command))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./"+command)
	cmd.Dir = root
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", command, err, said)
	}
	return binary, nil
}

func buildPrograms(ctx context.Context) (p path.Programs, err error) {
	for command, into := range map[string]*string{"cmd/parley": &p.Parley, "bench/path/floor": &p.Floor, "bench/path/pion": &p.Pion} {
		if *into, err = build(ctx, command); err != nil {
			return p, err
		}
	}
	return p, nil
}

// commit names the commit that is measured, with + where files differ from it.
func commit(ctx context.Context) string {
	id, err := output(ctx, "git", "rev-parse", "--short", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := output(ctx, "git", "status", "--porcelain", "--untracked-files=no"); err == nil && changed != "" {
		id += "+"
	}
	return id
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
