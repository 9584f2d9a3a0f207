package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/signal"
)

// devCmd runs one whole node on loopback.
type devCmd struct {
	Listen  string `help:"HTTP address; media takes the next port. Port 0 takes free ones." default:"127.0.0.1:7880" placeholder:"ADDR"`
	Data    string `help:"Keep data in this directory; by default it is gone afterwards." type:"path" placeholder:"DIR"`
	Regions int    `help:"How many regions to run." default:"1" placeholder:"N"`
	JSON    bool   `help:"Print one line of JSON when ready." name:"json"`
	Log     string `help:"Least level that is logged: debug, info, warn, error." default:"warn" placeholder:"LEVEL"`
}

// Run implements the command.
func (c *devCmd) Run(ctx context.Context, out console) (err error) {
	if c.Regions < 1 || c.Regions > maxDevRegions {
		return fmt.Errorf("--regions: from 1 to %d", maxDevRegions)
	}
	level, err := telemetry.ParseLevel(c.Log)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	log := telemetry.NewLogger(out.stderr, level, c.JSON)
	if c.Data == "" {
		if c.Data, err = os.MkdirTemp("", "parley-dev-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.Data)) }()
	}
	key, err := devKey()
	if err != nil {
		return err
	}
	nodes, err := c.nodes(ctx, key)
	if err != nil {
		return err
	}
	return runDev(ctx, nodes, log, func(w welcome) error { return w.print(out.stdout, c.JSON) })
}

// configure makes the configuration of the node behind the address: everything embedded, loopback only.
func (c *devCmd) configure(ctx context.Context, http net.Addr, data string, key api.APIKey) (Config, error) {
	tcp, ok := http.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() {
		return Config{}, fmt.Errorf("--listen: %s is not a loopback address; parley serve is for all others", http)
	}
	cfg := Defaults()
	cfg.Listen = tcp.String()
	cfg.DataDir = data
	cfg.Node.Media.Listen = freeAddressAt(ctx, *tcp, tcp.Port+1)
	cfg.Turn.Listen, cfg.Turn.TLSListen = devRelayAddress(ctx, *tcp), ""
	cfg.Signal.Origins = signal.LoopbackOrigins()
	cfg.API.PublicURL = "http://" + tcp.String()
	cfg.API.Dev = true
	cfg.API.AllowedOrigins = signal.LoopbackOrigins()
	cfg.API.APIKeys = []api.APIKey{key}
	cfg.derive()
	return cfg, cfg.Validate()
}

// freeAddressAt is the port on HTTP's address if UDP and TCP have it free, and any free one otherwise.
func freeAddressAt(ctx context.Context, http net.TCPAddr, number int) string {
	address := net.JoinHostPort(http.IP.String(), fmt.Sprint(number))
	var lc net.ListenConfig
	udp, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return net.JoinHostPort(http.IP.String(), "0")
	}
	defer udp.Close()
	tcp, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return net.JoinHostPort(http.IP.String(), "0")
	}
	defer tcp.Close()
	return address
}

// devRelayAddress is TURN's own port for a node on HTTP's, as far apart for further nodes as those of HTTP, and any free one for
// a node elsewhere.
func devRelayAddress(ctx context.Context, http net.TCPAddr) string {
	const httpPort, turnPort = 7880, 3478
	further := http.Port - httpPort
	if further < 0 || further > maxDevRegions*portStep || further%portStep != 0 {
		return net.JoinHostPort(http.IP.String(), "0")
	}
	return freeAddressAt(ctx, http, turnPort+further)
}

// runDev runs the nodes and calls ready once a first meeting can be joined through all of them.
func runDev(ctx context.Context, nodes []devNode, log *slog.Logger, ready func(welcome) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan error, len(nodes)+1)
	for i, n := range nodes {
		p, err := assemble(ctx, n.cfg, n.ln, log)
		if err != nil {
			stop(err)
			for _, rest := range nodes[i:] {
				err = errors.Join(err, rest.ln.Close())
			}
			ended <- err
			nodes = nodes[:i]
			break
		}
		go func() {
			err := p.run(ctx)
			stop(err) // one node that breaks ends them all
			ended <- err
		}()
		select { // the first node runs NATS for the others
		case <-p.bus.Ready():
		case <-ctx.Done():
		}
	}
	go func() {
		err := greet(ctx, nodes, ready)
		if err != nil {
			stop(err)
		}
		ended <- err
	}()
	var faults []error
	for range len(nodes) + 1 {
		faults = append(faults, <-ended)
	}
	for len(ended) > 0 {
		faults = append(faults, <-ended)
	}
	return errors.Join(faults...)
}

// greet makes the first meeting as soon as all nodes can, and tells ready.
func greet(ctx context.Context, nodes []devNode, ready func(welcome) error) error {
	if len(nodes) == 0 {
		return nil
	}
	const startLimit = 30 * time.Second
	now := time.Now()
	cfg := nodes[0].cfg
	token, err := signUserToken(cfg.API.APIKeys[0], userClaims{
		Sub: "dev", Rights: allRights(), IssuedAt: now.Unix(), ExpiresAt: now.Add(cfg.API.TokenLifetime - time.Minute).Unix(),
	})
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	w := welcome{URL: cfg.API.PublicURL, Token: token}
	for retry := time.NewTicker(50 * time.Millisecond); ; {
		if err = w.awaken(limited, nodes); err == nil {
			return ready(w)
		}
		select {
		case <-retry.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return nil // asked to stop before it was ready
			}
			return fmt.Errorf("not ready after %s: %w", startLimit, err)
		}
	}
}

// welcome is what parley dev tells when it is ready.
type welcome struct {
	URL       string `json:"url"`
	JoinURL   string `json:"join_url"`
	HostURL   string `json:"host_url"`
	Token     string `json:"token"`
	MeetingID string `json:"meeting_id"`
	HostKey   string `json:"host_key"`

	Regions []doorway `json:"regions,omitempty"` // where there are several
}

// doorway is how to enter the first meeting through one region: on one machine which is nearest is an accident.
type doorway struct {
	Region  string `json:"region"`
	JoinURL string `json:"join_url"`
}

// awaken makes the first meeting once the node says that it is ready, over REST as any client would.
func (w *welcome) awaken(ctx context.Context, nodes []devNode) error {
	for _, n := range nodes {
		if _, err := w.call(ctx, http.MethodGet, n.cfg.API.PublicURL+"/readyz", nil); err != nil {
			return err
		}
	}
	answer, err := w.call(ctx, http.MethodPost, w.URL+"/v1/meetings", []byte(`{"title": "First meeting", "settings": {"guests": true}}`))
	if err != nil {
		return err
	}
	var meeting struct {
		ID      string `json:"id"`
		JoinURL string `json:"join_url"`
		HostKey string `json:"host_key"`
	}
	if err := json.Unmarshal(answer, &meeting); err != nil {
		return fmt.Errorf("making the first meeting: %w", err)
	}
	w.MeetingID, w.JoinURL, w.HostKey = meeting.ID, meeting.JoinURL, meeting.HostKey
	w.HostURL = meeting.JoinURL + "#host_key=" + meeting.HostKey
	if len(nodes) == 1 {
		return nil
	}
	for _, n := range nodes {
		w.Regions = append(w.Regions, doorway{n.cfg.Region, n.cfg.API.PublicURL + "/m/" + meeting.ID + "?region=" + n.cfg.Region})
	}
	return nil
}

// call makes one call and returns the answer's body; a refusal is an error.
func (w *welcome) call(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, answer)
	}
	return answer, err
}

// print writes one line of JSON, or a few lines for people.
func (w welcome) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(w)
	}
	var doors strings.Builder
	for _, d := range w.Regions {
		fmt.Fprintf(&doors, "  %-9s %s\n", d.Region, d.JoinURL)
	}
	if len(w.Regions) > 0 {
		fmt.Fprintf(&doors, "  Cluster   %s/cluster#token=%s\n", w.URL, w.Token)
	}
	_, err := fmt.Fprintf(out, `
  Parley is running. Everybody with the meeting's link can join; Ctrl-C stops it.

  Meeting   %s
  As host   %s
%s
  New meetings, with a token for this machine
  %s/#token=%s

`, w.JoinURL, w.HostURL, doors.String(), w.URL, w.Token)
	return err
}
