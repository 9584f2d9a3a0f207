package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A paced server is a node in a process of its own, so that what it costs is told apart from what the load costs. It is this
// test binary, or one of another version. Requests and replies are lines of JSON on its standard input and output.
type pacedServer struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
}

type paceRequest struct{ Room, ID, SDP string } // without a room: how much has been used

type paceReply struct {
	SDP    string
	CPU    time.Duration // of the whole process so far
	Sleeps int64         // of its threads
	Sent   uint64        // datagrams
	Error  string
}

// pacedServers is what BenchmarkPaced compares: "name=binary#sockets,…"; no binary: this one.
const pacedServers = "PARLEY_PACED_SERVERS"

// servePaced is the server's main, if this is to be one.
func servePaced() bool {
	sockets, is := os.LookupEnv("PARLEY_PACED_SOCKETS")
	if !is {
		return false
	}
	cfg := Defaults()
	cfg.Media.Listen = "127.0.0.1:0"
	setSockets(&cfg, sockets)
	n, err := New(cfg, silent{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r paceRequest
		if in.Decode(&r) != nil {
			break
		}
		if out.Encode(n.pacedReply(r)) != nil {
			break
		}
	}
	stop()
	<-done
	return true
}

func (n *Node) pacedReply(r paceRequest) (reply paceReply) {
	if r.Room == "" {
		var used syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
		reply.CPU, reply.Sleeps = time.Duration(used.Utime.Nano()+used.Stime.Nano()), used.Nvcsw
		reply.Sent = n.endpoint.Stats().Sent
		return reply
	}
	p, err := n.Join(PeerConfig{Room: r.Room, Participant: r.ID, CanPublish: true, Events: newEvents(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return paceReply{Error: err.Error()}
	}
	answer, err := p.Offer(context.Background(), Offer{SDP: r.SDP})
	if err != nil {
		return paceReply{Error: err.Error()}
	}
	return paceReply{SDP: answer.SDP}
}

func startPaced(b *testing.B) (all []*pacedServer) {
	b.Helper()
	for spec := range strings.SplitSeq(envOr(pacedServers, "one=#1,each=#0"), ",") {
		name, rest, _ := strings.Cut(spec, "=")
		binary, sockets, _ := strings.Cut(rest, "#")
		if binary == "" {
			binary, _ = os.Executable()
		}
		s := &pacedServer{name: name, cmd: exec.CommandContext(b.Context(), binary)}
		s.cmd.Env = append(os.Environ(), "PARLEY_PACED_SOCKETS="+sockets)
		s.cmd.Stderr = os.Stderr
		var err error
		if s.in, err = s.cmd.StdinPipe(); err != nil {
			b.Fatal(err)
		}
		out, err := s.cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		s.out = json.NewDecoder(out)
		if err := s.cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.in.Close(); _ = s.cmd.Wait() })
		all = append(all, s)
	}
	return all
}

func envOr(key, value string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return value
}

func (s *pacedServer) ask(r paceRequest) (reply paceReply, err error) {
	if err := json.NewEncoder(s.in).Encode(r); err != nil {
		return reply, err
	}
	if err := s.out.Decode(&reply); err != nil {
		return reply, err
	}
	if reply.Error != "" {
		return reply, fmt.Errorf("server: %s", reply.Error)
	}
	return reply, nil
}

func setSockets(cfg *Config, s string) { cfg.Media.Sockets, _ = strconv.Atoi(s) }
