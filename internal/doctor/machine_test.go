package doctor

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPorts(t *testing.T) {
	udp, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp := listen(t, func(net.Conn) {})
	for _, tc := range []struct {
		name  string
		port  Port
		state State
		cause string
	}{
		{"free", Port{"tcp", "127.0.0.1:0", "listen"}, OK, ""},
		{"free UDP", Port{"udp", "127.0.0.1:0", "listen"}, OK, ""},
		{"taken", Port{"tcp", tcp, "listen"}, Fail, tcp + " is taken by doctor.test (pid "},
		{"taken UDP", Port{"udp", udp.LocalAddr().String(), "listen"}, Fail, udp.LocalAddr().String() + " is taken by doctor.test (pid "},
		{"nobody's address", Port{"tcp", "192.0.2.1:1", "listen"}, Fail, "no interface of this machine has the address of 192.0.2.1:1"},
	} {
		t.Run(tc.name, func(t *testing.T) { expect(t, tc.port.free(t.Context()), tc.state, tc.cause) })
	}
	expect(t, taken(Port{"tcp", "0.0.0.0:7880", "listen"}, "parley (pid 7)"), OK, "")
	expect(t, taken(Port{"tcp", "0.0.0.0:7880", "listen"}, ""), Warn, "by whom only root can see")
}

func TestAdvertisedAddresses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		told  []string
		media string
		state State
		cause string
	}{
		{"public", []string{"203.0.113.7"}, "", OK, ""},
		{"public with a port", []string{"203.0.113.7:7881"}, "", OK, ""},
		{"private and public", []string{"10.0.0.5", "2001:db8::7"}, "", OK, ""},
		{"private", []string{"10.0.0.5"}, "", Warn, "private address advertised: 10.0.0.5"},
		{"a private listener", nil, "192.168.1.7:7881", Warn, "private address advertised: 192.168.1.7"},
		{"loopback", nil, "127.0.0.1:7881", Warn, "only loopback addresses"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expect(t, Machine{Advertised: tc.told, Media: tc.media}.addresses(), tc.state, tc.cause)
		})
	}
	if own := (Machine{Media: "[::]:7881"}).own(); len(own) == 0 {
		t.Error("this machine has no address")
	}
}

func TestCertificateFiles(t *testing.T) {
	now := time.Now()
	file := func(from, until time.Time) string {
		certificate, _ := certify(t, "meet.example.org", from, until)
		path := filepath.Join(t.TempDir(), "tls.crt")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const day = 24 * time.Hour
	nothing := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(nothing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, certificateFile(file(now, now.Add(90*day))), OK, "")
	expect(t, certificateFile(file(now, now.Add(3*day+time.Hour))), Warn, "expires in 3 days")
	expect(t, certificateFile(file(now.Add(-9*day), now.Add(-day))), Fail, "expired on")
	expect(t, certificateFile(nothing), Fail, "is no PEM file")
	expect(t, certificateFile(nothing+"x"), Fail, "no such file")
}

func TestNATS(t *testing.T) {
	greets := func(line string) string { return listen(t, func(c net.Conn) { _, _ = c.Write([]byte(line)) }) }
	expect(t, greetNATS(t.Context(), "nats://"+greets("INFO {}\r\n")), OK, "")
	expect(t, greetNATS(t.Context(), "nats://"+greets("SSH-2.0-x\r\n")), Fail, "is no NATS server")
	expect(t, greetNATS(t.Context(), "nats://"+greets("")), Fail, "is no NATS server")
	expect(t, greetNATS(t.Context(), "tls://"+greets("")), OK, "")
	expect(t, greetNATS(t.Context(), "nats://127.0.0.1:1"), Fail, "NATS is not reached at 127.0.0.1:1: connect: connection refused")
	expect(t, greetNATS(t.Context(), "::"), Fail, "bus.url is no URL")
}

func TestInspection(t *testing.T) {
	var shown bytes.Buffer
	p := &Printer{W: &shown}
	r := Inspect(t.Context(), Machine{
		DataDir: filepath.Join(t.TempDir(), "not", "there", "yet"), Media: "127.0.0.1:0", Tell: p.Check,
		Probes: []Probe{
			{ID: "gossip.a", Name: "gossip with a", Ask: func(context.Context) error { return nil }},
			{ID: "gossip.b", Name: "gossip with b", Ask: func(context.Context) error { return errors.New("cluster key mismatch") }, Hint: "Same key?"},
		},
	})
	if check, _ := r.Find("machine.disk"); check.State == Fail || check.Figures["free_bytes"] <= 0 {
		t.Errorf("disk: %+v", check)
	}
	if r.OK || r.Verdict != "This machine is not well: cluster key mismatch." || !strings.Contains(shown.String(), "→ Same key?") {
		t.Errorf("verdict %q\n%s", r.Verdict, shown.String())
	}
	both := r.And(Report{Schema: Schema, OK: true, Verdict: "Calls will work.", URL: "https://x", Checks: []Check{{ID: "rtp.udp"}}})
	if both.OK || both.Verdict != r.Verdict+" Calls will work." || len(both.Checks) != len(r.Checks)+1 || both.URL != "https://x" {
		t.Errorf("both: %+v", both)
	}
	if alone := (Report{}).And(r); alone.Verdict != r.Verdict {
		t.Errorf("alone: %+v", alone)
	}
}
