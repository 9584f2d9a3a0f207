package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// hasty cuts slow clients early, so that the test need not wait.
func hasty(c *Config, _ *Deps) {
	c.Timeouts.ReadHeader = 100 * time.Millisecond
	c.Timeouts.Read = 300 * time.Millisecond
}

// dial opens a raw connection to the rig.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// The socket passes every layer of the server and outlives its deadlines, under which a slow request is cut meanwhile.
func TestSocketOutlivesTheDeadlines(t *testing.T) {
	r := newRig(t, hasty, func(c *Config, _ *Deps) { c.Timeouts.Write = 100 * time.Millisecond })
	echoed := make(chan error, 1)
	r.signal.set(func(f *fakeSignal) {
		f.serve = func(w http.ResponseWriter, req *http.Request) { echoed <- echo(w, req) }
	})
	conn, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(r.url, "http")+"/v1/signal", nil) //nolint:bodyclose // Dial closes it
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if resp.Header.Get("X-Request-Id") == "" {
		t.Error("the upgrade has no request id")
	}
	slow := r.dial()
	if _, err := io.WriteString(slow, "POST /v1/meetings/x/join HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(slow); err != nil {
		t.Fatalf("the slow request was not cut: %v", err)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := conn.Read(t.Context()); err != nil || string(data) != "hello" {
		t.Errorf("read %q, %v", data, err)
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

// echo upgrades and sends one message back.
func echo(w http.ResponseWriter, req *http.Request) error {
	conn, err := websocket.Accept(w, req, nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	kind, data, err := conn.Read(req.Context())
	if err != nil {
		return err
	}
	return conn.Write(req.Context(), kind, data)
}

func TestSlowHeadersAreCut(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing":       "",
		"half a header": "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"HTTP/2":        "PRI * HTTP/2.0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, hasty)
			conn := r.dial()
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(conn); err != nil || strings.Contains(string(rest), "200") {
				t.Errorf("read %q, %v; want the connection closed", rest, err)
			}
		})
	}
}

func TestSlowBodyIsCut(t *testing.T) {
	r := newRig(t, hasty)
	conn := r.dial()
	head := "POST /v1/meetings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + r.token(rightCreate) +
		"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"title\":"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	req := r.request(http.MethodPost, "/v1/meetings", nil)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := loadContract(t).check(req, resp, body); err != nil {
		t.Error(err)
	}
	answer{t: t, status: resp.StatusCode, header: resp.Header, body: body}.wantProblem(http.StatusRequestTimeout, "body_too_slow")
	if _, err := in.ReadByte(); err != io.EOF { //nolint:errorlint // ReadByte returns it bare
		t.Errorf("after the answer: %v, want the connection closed", err)
	}
}

// A slow client costs the others nothing.
func TestSlowClientsDisturbNobody(t *testing.T) {
	r := newRig(t)
	for range 50 {
		if _, err := io.WriteString(r.dial(), "POST /v1/meetings HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	r.create(object{"title": "x"})
}

func TestHTTP2WithoutTLS(t *testing.T) {
	r := newRig(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	r.client = &http.Client{Transport: checkedTransport{t: t, base: transport}}
	resp, err := r.client.Do(r.request(http.MethodGet, "/v1/regions", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("answer = %s %s, want HTTP/2 and 200", resp.Proto, resp.Status)
	}
	r.create(object{"title": "over HTTP/2"})
}

func TestSlowBodyOverHTTP2IsCut(t *testing.T) {
	r := newRig(t, hasty)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	body, stall := io.Pipe()
	defer stall.Close()
	req := r.request(http.MethodPost, "/v1/meetings", nil)
	req.Body = body
	req.Header.Set("Content-Type", "application/json")
	bearer(r.token(rightCreate))(req)
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status = %d, want 408", resp.StatusCode)
	}
}

func TestServeFinishesOpenRequests(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := serverWithoutNATS(t)
	s.deps.Signal.(*fakeSignal).set(func(f *fakeSignal) {
		f.serve = func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-leave
			w.WriteHeader(http.StatusNoContent)
		}
	})
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+"/v1/signal", nil)
		if err != nil {
			answered <- err
			return
		}
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	stop()
	close(leave)
	if err := <-answered; err != nil {
		t.Errorf("open request: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}
