package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/parley-sfu/parley/internal/doctor"
)

// doctorCmd finds out why calls do not work.
type doctorCmd struct {
	URL   string `help:"Where the server's REST is: how people reach it." name:"url" placeholder:"URL"`
	Token string `help:"User token with meetings:create and meetings:join; the test makes a meeting with it." placeholder:"TOKEN"`
	Dev   bool   `help:"Ask with a token signed with the key of parley dev."`
	Join  string `help:"Link of a meeting to test in instead." placeholder:"LINK"`
	CA    string `help:"PEM file of the authority that signed the server's certificate." name:"ca" type:"existingfile" placeholder:"FILE"`
	JSON  bool   `help:"Print JSON." name:"json"`
}

// Run implements the command.
func (c *doctorCmd) Run(ctx context.Context, out console) error {
	opts, err := c.options()
	if err != nil {
		return err
	}
	printer := &doctor.Printer{W: out.stdout, Color: isTerminal(out.stdout, out.environ)}
	if !c.JSON {
		fmt.Fprintf(out.stdout, "parley doctor %s\n\n", opts.URL)
		opts.Tell = printer.Check
	}
	report, err := doctor.Examine(ctx, opts)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if c.JSON {
		if err := json.NewEncoder(out.stdout).Encode(report); err != nil {
			return err
		}
	} else {
		printer.Verdict(report)
	}
	if !report.OK {
		return errReported
	}
	return nil
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
		return opts, errors.New("say where the server is: --url URL, or --join LINK")
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
