package system_test

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// Frames of a WebSocket (RFC 6455 section 5.2).
const (
	opText  = 0x1
	opClose = 0x8
	fin     = 0x80
	deflate = 0x40 // RSV1: the message is compressed (RFC 7692 section 6)
)

// socket is a WebSocket by hand, for what no library would send.
type socket struct {
	conn net.Conn
	r    *bufio.Reader
}

// answer is how a node answers an upgrade: the status, and the code of a refusal.
type answer struct {
	status int
	code   string
}

// knock asks for an upgrade with a token. The socket is nil unless the answer is 101.
func knock(tb testing.TB, n *lab.Node, token string) (*socket, answer) {
	tb.Helper()
	host := strings.TrimPrefix(n.URL, "http://")
	conn, err := net.DialTimeout("tcp", host, 5*time.Second)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "GET /v1/signal HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: parley.v1\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"+
		"Authorization: Bearer %s\r\n\r\n", host, base64.StdEncoding.EncodeToString([]byte(rand.Text()[:16])), token)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		tb.Fatalf("upgrade: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return &socket{conn: conn, r: r}, answer{status: resp.StatusCode}
	}
	var problem struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&problem); err != nil {
		tb.Errorf("a refused upgrade is no problem document: %v", err)
	}
	return nil, answer{resp.StatusCode, problem.Code}
}

// frame writes one frame, masked with zeros: the payload stays as it is.
func (s *socket) frame(first byte, payload []byte) error {
	head := []byte{first, 0x80}
	switch {
	case len(payload) < 126:
		head[1] |= byte(len(payload))
	case len(payload) < 1<<16:
		head[1] |= 126
		head = binary.BigEndian.AppendUint16(head, uint16(len(payload)))
	default:
		head[1] |= 127
		head = binary.BigEndian.AppendUint64(head, uint64(len(payload)))
	}
	head = append(head, 0, 0, 0, 0)
	_, err := (&net.Buffers{head, payload}).WriteTo(s.conn)
	return err
}

// say sends one message as JSON.
func (s *socket) say(message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return s.frame(fin|opText, body)
}

// heard is one message of the server as far as the tests care.
type heard struct {
	Answer  string `json:"sdp_answer"`
	Type    string `json:"type"`
	ReplyTo string `json:"reply_to"`
	Code    string `json:"code"`
}

// hear reads the next frame: a message, or the code with which the server closes.
func (s *socket) hear() (m heard, closed int, err error) {
	var head [2]byte
	if _, err = io.ReadFull(s.r, head[:]); err != nil {
		return m, 0, err
	}
	size := uint64(head[1] & 0x7f)
	if size >= 126 {
		long := make([]byte, map[uint64]int{126: 2, 127: 8}[size])
		if _, err = io.ReadFull(s.r, long); err != nil {
			return m, 0, err
		}
		size = binary.BigEndian.Uint64(append(make([]byte, 8-len(long)), long...))
	}
	payload := make([]byte, size)
	if _, err = io.ReadFull(s.r, payload); err != nil {
		return m, 0, err
	}
	if head[0]&0x0f == opClose && size >= 2 {
		return m, int(binary.BigEndian.Uint16(payload)), nil
	}
	if head[0]&deflate != 0 {
		payload = inflate(payload)
	}
	_ = json.Unmarshal(payload, &m) // a ping is no message
	return m, 0, nil
}

// outcome reads until the server closes or is gone, or, where the session is to go on, until it says error. It tells
// what it said last and the code it closed with.
func (s *socket) outcome(goesOn bool) (last heard, closed int) {
	for {
		m, code, err := s.hear()
		switch {
		case err != nil:
			return last, 0
		case code != 0:
			return last, code
		case m.Type == "error":
			last = m
			if goesOn {
				return last, 0
			}
		}
	}
}
