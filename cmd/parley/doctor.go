package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/parley-sfu/parley/internal/doctor"
	"github.com/parley-sfu/parley/placement"
)

// doctorCmd finds out why calls do not work.
type doctorCmd struct {
	Config string `help:"Look at this machine with this configuration, and from outside only where a URL is given too." type:"existingfile" placeholder:"FILE"`
	URL    string `help:"Where the server's REST is: how people reach it." name:"url" placeholder:"URL"`
	Token  string `help:"User token with meetings:create and meetings:join; the test makes a meeting with it." placeholder:"TOKEN"`
	Dev    bool   `help:"Ask with a token signed with the key of parley dev."`
	Join   string `help:"Link of a meeting to test in instead." placeholder:"LINK"`
	CA     string `help:"PEM file of the authority that signed the server's certificate." name:"ca" type:"existingfile" placeholder:"FILE"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// Run implements the command.
func (c *doctorCmd) Run(ctx context.Context, out console) error {
	printer := &doctor.Printer{W: out.stdout, Color: isTerminal(out.stdout, out.environ)}
	tell := printer.Check
	if c.JSON {
		tell = func(doctor.Check) {}
	}
	var report doctor.Report
	if c.Config != "" {
		machine, err := c.machine(out.environ)
		if err != nil {
			return reportFaults(out.stderr, err)
		}
		machine.Tell = tell
		c.title(out, "of this machine")
		report = doctor.Inspect(ctx, machine)
	}
	if c.Config == "" || c.URL != "" || c.Join != "" {
		opts, err := c.options()
		if err != nil {
			return err
		}
		opts.Tell = tell
		c.title(out, "of "+opts.URL)
		outside, err := doctor.Examine(ctx, opts)
		if err != nil {
			return fmt.Errorf("--url: %w", err)
		}
		report = report.And(outside)
	}
	return c.conclude(out, printer, report)
}

func (c *doctorCmd) title(out console, of string) {
	if !c.JSON {
		fmt.Fprintf(out.stdout, "Examination %s\n\n", of)
	}
}

func (c *doctorCmd) conclude(out console, printer *doctor.Printer, report doctor.Report) error {
	if !c.JSON {
		printer.Verdict(report)
	} else if err := json.NewEncoder(out.stdout).Encode(report); err != nil {
		return err
	}
	if !report.OK {
		return errReported
	}
	return nil
}

// machine is what the configuration says of the node's own machine.
func (c *doctorCmd) machine(environ []string) (doctor.Machine, error) {
	cfg, err := load(c.Config, environ)
	if err != nil {
		return doctor.Machine{}, err
	}
	m := doctor.Machine{
		DataDir: cfg.DataDir, Media: cfg.Node.Media.Listen, Advertised: cfg.Node.Media.Advertise,
		Buffers: max(cfg.Node.Media.ReceiveBuffer, cfg.Node.Media.SendBuffer),
	}
	for _, p := range portsOf(cfg) {
		if _, _, err := net.SplitHostPort(p.Address); err == nil { // a range is the kernel's to give
			m.Ports = append(m.Ports, doctor.Port{Protocol: p.Protocol, Address: p.Address, Key: p.Key})
		}
	}
	for _, certificate := range cfg.TLS.Certificates {
		m.Certificates = append(m.Certificates, certificate.CertFile)
	}
	if cfg.Bus.URL != "" {
		m.NATS = strings.Split(cfg.Bus.URL, ",")
	}
	for _, address := range cfg.Cluster.Join {
		m.Probes = append(m.Probes, doctor.Probe{
			ID: "gossip." + address, Name: "gossip with " + address,
			Ask:  func(ctx context.Context) error { return placement.Probe(ctx, cfg.Cluster, address) },
			Hint: "Is that node running, with the same cluster.key, and does a firewall let UDP and TCP of gossip through?",
		})
	}
	return m, nil
}

func (c *doctorCmd) options() (opts doctor.Options, err error) {
	opts = doctor.Options{URL: c.URL, Token: c.Token, Link: c.Join}
	if c.Dev {
		if opts.Token, err = (restFlags{Dev: true}).token("meetings:create", "meetings:join"); err != nil {
			return opts, err
		}
	}
	if opts.URL == "" {
		opts.URL = linkBase(c.Join)
	}
	if opts.URL == "" {
		return opts, errors.New("say where the server is: --url URL, --join LINK, or --config FILE for this machine")
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return opts, fmt.Errorf("--ca: %w", err)
		}
		if opts.Roots, err = x509.SystemCertPool(); err != nil {
			opts.Roots = x509.NewCertPool()
		}
		if !opts.Roots.AppendCertsFromPEM(pem) {
			return opts, fmt.Errorf("--ca: no certificate in %s", c.CA)
		}
	}
	return opts, nil
}

// linkBase is the server of a meeting's link.
func linkBase(link string) string {
	base, _, ok := strings.Cut(link, "/m/")
	if !ok {
		return ""
	}
	return base
}

// isTerminal says whether somebody reads with their own eyes, in colour.
func isTerminal(w io.Writer, environ []string) bool {
	file, ok := w.(*os.File)
	if !ok || slices.ContainsFunc(environ, func(e string) bool { return strings.HasPrefix(e, "NO_COLOR=") && e != "NO_COLOR=" }) {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
