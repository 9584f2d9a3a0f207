package split

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestFirstByteDecides(t *testing.T) {
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, tc := range []struct {
		name      string
		protocols []string
		agreed    string // the application protocol
		say       string
		answer    string // how it begins; empty: closed without a word
		turnOnly  bool
	}{
		{"HTTP/1.1", nil, "", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK", false},
		{"HTTP/1.1 by name", []string{"http/1.1"}, "http/1.1", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK", false},
		{"HTTP/2 by name", []string{"h2", "http/1.1"}, "h2", preface, "\x00\x00", false},
		{"HTTP/2 by its preface alone, which net/http refuses", nil, "", preface, "HTTP/1.1 ", false},
		{"TURN", nil, "", string(binding()), string(binding()), false},
		{"TURN by name", []string{"stun.turn"}, "stun.turn", string(binding()), string(binding()), false},
		{"TURN under a name that is not ours", []string{"webrtc", "c-webrtc"}, "", string(binding()), string(binding()), false},
		{"TURN under HTTP's name", []string{"http/1.1"}, "http/1.1", string(binding()), string(binding()), false},
		{"channel data first", nil, "", "\x40\x00\x00\x04abcd", "", false},
		{"DTLS", nil, "", "\x16\xfe\xfd", "", false},
		{"RTP", nil, "", "\x80\x60", "", false},
		{"a challenge", []string{"acme-tls/1"}, "acme-tls/1", "", "", false},
		{"TURN, nothing else", nil, "", string(binding()), string(binding()), true},
		{"TURN by name, nothing else", []string{"stun.turn"}, "stun.turn", string(binding()), string(binding()), true},
		{"HTTP where there is only TURN", nil, "", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", true},
		{"HTTP/2 where there is only TURN", []string{"h2"}, "", preface, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(_ *Config, d *Deps) {
				d.TURNOnly = tc.turnOnly
				d.TLS.NextProtos = []string{"acme-tls/1"}
			})
			c, err := r.dial(tc.protocols...)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.ConnectionState().NegotiatedProtocol; got != tc.agreed {
				t.Errorf("application protocol %q, want %q", got, tc.agreed)
			}
			if _, err := io.WriteString(c, tc.say); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(tc.answer))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != tc.answer {
				t.Errorf("answer %q, %v; want %q", got, err, tc.answer)
			}
			if tc.answer == "" {
				if rest, err := io.ReadAll(c); len(rest) > 0 || isTimeout(err) {
					t.Errorf("read %q, %v; want the connection closed", rest, err)
				}
			}
		})
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // as it comes from the connection
	return ok && timeout.Timeout()
}

// net/http's own client talks HTTP/2 and HTTP/1.1 to the port, and a relay's client talks TURN to it at the same time.
func TestAllOnOnePort(t *testing.T) {
	r := newRig(t, nil)
	for name, want := range map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"} {
		transport := &http.Transport{TLSClientConfig: r.client(), ForceAttemptHTTP2: name == "h2"}
		if name != "h2" {
			transport.Protocols = new(http.Protocols)
			transport.Protocols.SetHTTP1(true)
		}
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+r.addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != want || resp.Proto != want {
			t.Errorf("%s: %s, %q, %v", name, resp.Proto, body, err)
		}
		transport.CloseIdleConnections()
	}
	relay, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	message := append(binding(), bytes.Repeat([]byte("x"), 900)...)
	if _, err := relay.Write(message); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(relay, got); err != nil || !bytes.Equal(got, message) {
		t.Errorf("the echo is %d bytes, %v", len(got), err)
	}
}

// A side that is closed refuses, the other one goes on; what was handed on stays when the port ends.
func TestSidesEndApart(t *testing.T) {
	r := newRig(t, nil)
	relay, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	echo := func() error {
		if _, err := relay.Write(binding()); err != nil {
			return err
		}
		_, err := io.ReadFull(relay, make([]byte, len(binding())))
		return err
	}
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	if err := r.port.TURN().Close(); err != nil {
		t.Fatal(err)
	}
	late, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Write(binding()); err != nil {
		t.Fatal(err)
	}
	if n, err := late.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("read %d, %v; want the connection closed", n, err)
	}
	web, err := r.dial("http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	if proto, err := get(web); err != nil || proto != "HTTP/1.1" {
		t.Errorf("HTTP: %q, %v", proto, err)
	}
	if err := echo(); err != nil {
		t.Errorf("a connection that was handed on is gone: %v", err)
	}
}

func TestNewNamesFaults(t *testing.T) {
	if _, err := New(Config{}, Deps{}); err == nil {
		t.Error("an empty configuration is good")
	}
	if _, err := New(Defaults(), Deps{TLS: &tls.Config{MinVersion: tls.VersionTLS12}}); err == nil {
		t.Error("a port without a listener is good")
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

// A listener that breaks ends the port with an error.
func TestBrokenListenerEndsThePort(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := selfSigned(t)
	p, err := New(Defaults(), Deps{
		Name: "broken", Listener: ln, Log: discard(), TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Run(ctx); err == nil {
		t.Error("no error")
	}
}
