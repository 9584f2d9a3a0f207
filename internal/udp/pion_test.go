package udp

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/pion/ice/v4"
)

// TestPionSharesConnections lets two ICE agents of pion find each other over a FramedListener and talk.
func TestPionSharesConnections(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	node := agent(t, ice.NetworkTypeTCP4, tcpMux(t))
	client := agent(t, ice.NetworkTypeTCP4, ice.WithUDPMux(nil))
	introduce(t, node, client)
	introduce(t, client, node)
	clientConn, nodeConn := connect(ctx, t, client, node)
	for _, way := range []struct{ from, to net.Conn }{{clientConn, nodeConn}, {nodeConn, clientConn}} {
		if _, err := way.from.Write([]byte("\x16 through pion")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := way.to.Read(buf); err != nil || string(buf[:n]) != "\x16 through pion" {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	}
}

func tcpMux(t *testing.T) ice.AgentOption {
	inner, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(loopback4))
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewFramedListener(inner, FramedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	mux := ice.NewTCPMuxDefault(ice.TCPMuxParams{Listener: l, ReadBufferSize: 64})
	t.Cleanup(func() {
		_ = mux.Close()
		if l.Len() != 0 {
			t.Errorf("pion left %d connections open", l.Len())
		}
	})
	return ice.WithTCPMux(mux)
}

func agent(t *testing.T, network ice.NetworkType, mux ice.AgentOption) *ice.Agent {
	t.Helper()
	a, err := ice.NewAgentWithOptions(mux, ice.WithNetworkTypes([]ice.NetworkType{network}), ice.WithIncludeLoopback(),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// introduce makes b know a's candidates.
func introduce(t *testing.T, a, b *ice.Agent) {
	t.Helper()
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			return
		}
		if copied, err := ice.UnmarshalCandidate(c.Marshal()); err != nil {
			t.Error(err)
		} else if err := b.AddRemoteCandidate(copied); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
}

func connect(ctx context.Context, t *testing.T, client, node *ice.Agent) (clientConn, nodeConn net.Conn) {
	t.Helper()
	clientUfrag, clientPwd, err := client.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	nodeUfrag, nodePwd, err := node.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		c, err := node.Accept(ctx, clientUfrag, clientPwd)
		if err != nil {
			t.Error(err)
			return
		}
		nodeConn = c
	}()
	c, err := client.Dial(ctx, nodeUfrag, nodePwd)
	<-accepted
	if err != nil || nodeConn == nil {
		t.Fatal("not connected:", err)
	}
	return c, nodeConn
}
