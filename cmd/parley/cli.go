package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// cli is the command line.
type cli struct {
	Dev    devCmd   `cmd:"" help:"Run one whole node on loopback; nothing else is needed."`
	Serve  serveCmd `cmd:"" help:"Run a node."`
	Config struct {
		Check checkCmd `cmd:"" help:"Say what is wrong with a configuration, all of it at once."`
	} `cmd:"" help:"Work on a configuration."`
	Token  tokenCmd  `cmd:"" help:"Print a user token."`
	Ports  portsCmd  `cmd:"" help:"List the ports that a node listens on."`
	Doctor doctorCmd `cmd:"" help:"Find out why calls do not work, from outside or on the node's own machine."`
	Keys   struct {
		List   keysListCmd   `cmd:"" help:"List the keys that verify join tokens."`
		Rotate keysRotateCmd `cmd:"" help:"Sign join tokens with a new key; the old one stays good for what it signed."`
	} `cmd:"" help:"Work on a running node's signing keys."`
	Nodes   nodesCmd   `cmd:"" help:"List the nodes of the cluster."`
	Rooms   roomsCmd   `cmd:"" help:"List the rooms of the node that is asked."`
	Links   linksCmd   `cmd:"" help:"List the links of the node that is asked to other nodes."`
	Drain   drainCmd   `cmd:"" help:"Move everybody off a node, and send it no new joins."`
	Undrain undrainCmd `cmd:"" help:"Stop draining a node."`

	Version kong.VersionFlag `help:"Print the version."`
}

// console is the world outside as a command sees it.
type console struct {
	stdout, stderr io.Writer
	environ        []string
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// errReported is returned by a command that has told its user already.
var errReported = errors.New("failed") //nolint:gochecknoglobals // a sentinel

// run is the program without the process around it. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var flags cli
	exited := -1
	parser, err := kong.New(&flags,
		kong.Name("parley"),
		kong.Description("Video conferencing on your own machines: REST, signalling and SFU in one program."),
		kong.Vars{"version": version},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(console{stdout: stdout, stderr: stderr, environ: os.Environ()}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "parley:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	switch {
	case exited >= 0: // --help or --version
		return exited
	case err != nil:
		fmt.Fprintln(stderr, "parley:", err)
		fmt.Fprintln(stderr, "parley --help tells what there is.")
		return exitUsage
	}
	if err := command.Run(); err != nil {
		if !errors.Is(err, errReported) {
			fmt.Fprintln(stderr, "parley:", err)
		}
		return exitFailed
	}
	return exitOK
}
