package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench"
	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/internal/loopback"
)

// startNATS runs a NATS server that asks for a secret, and returns its URL, secret and all.
func startNATS(t *testing.T) string {
	t.Helper()
	const secret = "between-us"
	cfg := bus.Defaults()
	cfg.DataDir, cfg.Token, cfg.Listen = t.TempDir(), secret, freeAddress(t)
	b, err := bus.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	select {
	case <-b.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("NATS does not start")
	}
	return "nats://" + secret + "@" + cfg.Listen
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// A program is swarm as a process.
type program struct {
	*exec.Cmd
	t    *testing.T
	out  transcript
	done chan struct{}
}

// transcript keeps what a program says; it is safe for concurrent use.
type transcript struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...), t: t, done: make(chan struct{})}
	p.Env = append(os.Environ(), asProgram+"=1")
	p.Stdout, p.Stderr = &p.out, &p.out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("swarm %s said:\n%s", strings.Join(args, " "), p.out.String())
		}
	})
	return p
}

func (p *program) kill() {
	if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.done
}

// ends returns the exit code, once there is one.
func (p *program) ends(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("it still runs after %s", limit)
		return -1
	}
}

func (p *program) says(text string) {
	p.t.Helper()
	lab.Until(p.t, 30*time.Second, "swarm says "+text, func() bool { return strings.Contains(p.out.String(), text) })
}

const scenario = `
name: shared
seed: 9
people:
  - {role: attendee, count: 2}
  - {role: viewer, count: 6}
join: {rate: 10}
duration: 5s
actions:
  - {do: hands, every: 500ms}
  - {do: chat, rate: 2}
  - {do: churn, rate: 1}
`

// coordinate starts a coordinator and two agents.
func coordinate(t *testing.T) (coordinator *program, agents []*program, report string) {
	t.Helper()
	n, nats := lab.StartNode(t), startNATS(t)
	dir := t.TempDir()
	file, report := filepath.Join(dir, "s.yaml"), filepath.Join(dir, "r.json")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		agents = append(agents, start(t, "--agent", "--nats", nats))
	}
	coordinator = start(t, "--scenario", file, "--url", n.URL, "--token", n.Token, "--nats", nats, "--agents", "2", "--json", report)
	return coordinator, agents, report
}

func TestAgentsShareARun(t *testing.T) {
	coordinator, agents, file := coordinate(t)
	code := coordinator.ends(60 * time.Second)
	var rep bench.Report
	if raw, err := os.ReadFile(file); err != nil || json.Unmarshal(raw, &rep) != nil {
		t.Fatalf("no report, exit code %d: %v", code, err)
	}
	if code != exitOK && (code != exitInvalid || !strings.Contains(rep.Why, "CPU")) { // the machine may be busy
		t.Errorf("exit code %d: %s", code, rep.Why)
	}
	if rep.Publishers != 2 || rep.Viewers < 5 || len(rep.Agents) != 2 || rep.Failed > 0 || rep.Join.Count < 8 {
		t.Errorf("%d publishers, %d viewers, %d agents, %d of %d joins failed: %v", rep.Publishers, rep.Viewers, len(rep.Agents), rep.Failed, rep.Join.Count, rep.Faults)
	}
	// Each of ten changes of a hand reaches about eight people, whichever agent they are with.
	if rep.Received == 0 || rep.Event.Count < 50 || rep.Chat.Count < 50 || rep.Verified.Whole == 0 || rep.Verified.Corrupt > 0 || len(rep.Series) < 4 {
		t.Errorf("%d packets, %d events, %d chats, %+v, %d samples", rep.Received, rep.Event.Count, rep.Chat.Count, rep.Verified, len(rep.Series))
	}
	for _, a := range agents {
		if code := a.ends(10 * time.Second); code != exitOK {
			t.Errorf("an agent ends with %d", code)
		}
	}
}

func TestAgentThatDiesSpoilsTheResult(t *testing.T) {
	coordinator, agents, file := coordinate(t)
	agents[0].says("measuring")
	agents[0].kill()
	if code := coordinator.ends(60 * time.Second); code != exitInvalid {
		t.Errorf("exit code %d, want %d", code, exitInvalid)
	}
	var rep bench.Report
	if raw, err := os.ReadFile(file); err != nil || json.Unmarshal(raw, &rep) != nil || rep.Valid || !strings.Contains(rep.Why, "has not been heard of") {
		t.Errorf("valid: %v, %q, %v", rep.Valid, rep.Why, err)
	}
	if code := agents[1].ends(10 * time.Second); code != exitOK {
		t.Errorf("the other agent ends with %d", code)
	}
}

func TestAgentsEndWhenTheCoordinatorIsGone(t *testing.T) {
	coordinator, agents, _ := coordinate(t)
	coordinator.says("measuring")
	coordinator.kill()
	for _, a := range agents {
		if code := a.ends(40 * time.Second); code != exitFailed || !strings.Contains(a.out.String(), bench.ErrGone.Error()) {
			t.Errorf("an agent ends with %d", code)
		}
	}
}

func TestNATSIsNotThere(t *testing.T) {
	for name, url := range map[string]string{"nobody": "nats://" + freeAddress(t), "no URL": "nowhere", "wrong secret": strings.Replace(startNATS(t), "between", "behind", 1)} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), []string{"--agent", "--nats", url}, &out, &out); code != exitFailed || !strings.Contains(out.String(), "nats:") {
				t.Errorf("exit code %d: %s", code, out.String())
			}
			if strings.Contains(out.String(), "behind-us") {
				t.Error("it tells the secret")
			}
		})
	}
}
