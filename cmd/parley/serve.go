package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/placement"
)

// serveCmd runs a node with an operator's configuration.
type serveCmd struct {
	Config string `help:"Configuration file; parley.example.yaml shows every key." type:"existingfile" placeholder:"FILE"`
}

// Run implements the command.
func (c *serveCmd) Run(ctx context.Context, out console) error {
	cfg, err := load(c.Config, out.environ)
	if err != nil {
		return reportFaults(out.stderr, err)
	}
	level, err := telemetry.ParseLevel(cfg.Log.Level)
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(out.stderr, level, cfg.Log.Format == "json")
	ln, err := listen(ctx, cfg.Listen)
	if err != nil {
		return err
	}
	p, err := assemble(ctx, cfg, ln, log)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version, "http", ln.Addr().String(), "media", p.endpoint(), "roles", cmp.Or(strings.Join(cfg.Roles, ","), "all"), "public_url", cfg.API.PublicURL)
	defer p.secure.reloadOnHangup()()
	return p.runUntilEmpty(ctx, cfg.Signal.DrainDeadline)
}

// checkCmd says what is wrong with a configuration.
type checkCmd struct {
	Config string `help:"Configuration file." type:"existingfile" placeholder:"FILE"`
}

// Run implements the command.
func (c *checkCmd) Run(out console) error {
	if _, err := load(c.Config, out.environ); err != nil {
		return reportFaults(out.stderr, err)
	}
	_, err := fmt.Fprintln(out.stdout, "The configuration is good.")
	return err
}

// reportFaults writes every fault on a line of its own.
func reportFaults(w io.Writer, err error) error {
	fmt.Fprintln(w, "The configuration cannot be used:")
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(w, "  "+line)
		}
	}
	return errReported
}

// portsCmd lists the ports that a node listens on.
type portsCmd struct {
	Config string `help:"Configuration file; without it the defaults are shown." type:"existingfile" placeholder:"FILE"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// port is one port and what it is for.
type port struct {
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
	Purpose  string `json:"purpose"`
	Key      string `json:"key"` // of the configuration
}

// Run implements the command.
func (c *portsCmd) Run(out console) error {
	cfg, err := load(c.Config, out.environ)
	if err != nil {
		return reportFaults(out.stderr, err)
	}
	ports := portsOf(cfg)
	if c.JSON {
		return json.NewEncoder(out.stdout).Encode(ports)
	}
	table := tabwriter.NewWriter(out.stdout, 0, 0, 2, ' ', 0)
	for _, p := range ports {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", p.Protocol, p.Address, p.Purpose, p.Key)
	}
	return table.Flush()
}

func portsOf(cfg Config) []port {
	ports := []port{
		{"tcp", cfg.Listen, cfg.httpPurpose(), "listen"},
	}
	if cfg.TLS.Listen != "" {
		ports = append(ports, port{"tcp", cfg.TLS.Listen, "HTTPS, WebSocket, TURN over TLS", "tls.listen"})
	}
	media := cfg.does(placement.RoleMedia)
	if media {
		ports = append(ports, port{"udp", cfg.Node.Media.Listen, "media", "node.media.listen"})
	}
	if media && cfg.Node.Media.TCP {
		ports = append(ports, port{"tcp", cfg.Node.Media.Listen, "media where UDP is blocked", "node.media.tcp"})
	}
	if media && cfg.Turn.Listen != "" {
		ports = append(ports,
			port{"udp", cfg.Turn.Listen, "TURN", "turn.listen"},
			port{"tcp", cfg.Turn.Listen, "TURN where UDP is blocked", "turn.listen"},
			port{"udp", fmt.Sprintf("%d-%d", cfg.Turn.MinPort, cfg.Turn.MaxPort), "what TURN relays, from and to other nodes alone", "turn.min_port"})
	}
	if cfg.relaysTLS() {
		ports = append(ports, port{"tcp", cfg.Turn.TLSListen, "TURN over TLS", "turn.tls_listen"})
	}
	if cfg.Bus.Listen != "" {
		ports = append(ports, port{"tcp", cfg.Bus.Listen, "NATS", "bus.listen"})
	}
	return ports
}
