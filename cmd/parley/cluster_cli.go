package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/parley-sfu/parley/api"
)

// restFlags say which node is asked over REST, and by whom.
type restFlags struct {
	URL   string `help:"Where the node's REST is." name:"url" default:"http://127.0.0.1:7880" placeholder:"URL"`
	Token string `help:"User token to ask with; parley token makes one." placeholder:"TOKEN"`
	Dev   bool   `help:"Ask with a token signed with the key of parley dev."`
}

// nodesCmd lists the nodes.
type nodesCmd struct {
	restFlags
	JSON bool `help:"Print JSON." name:"json"`
}

// Run implements the command.
func (c *nodesCmd) Run(ctx context.Context, out console) error {
	var answer struct {
		Nodes []api.ClusterNode `json:"nodes"`
	}
	return c.list(ctx, out, "/v1/cluster/nodes", c.JSON, &answer, func(w io.Writer) {
		fmt.Fprintln(w, "NODE\tREGION\tSTATE\tROLES\tVERSION\tCPU\tMBIT/S\tPACKETS/S\tPARTICIPANTS\tMEDIA")
		for _, n := range answer.Nodes {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f%%\t%.1f\t%.0f\t%d\t%s\n", n.ID, n.Region, stateOf(n),
				cmp.Or(strings.Join(n.Roles, ","), "all"), cmp.Or(n.Version, "-"), n.Load.CPU*100, n.Load.BitsPerSecond/1e6,
				n.Load.PacketsPerSecond, n.Load.Participants, cmp.Or(n.SFUEndpoint, "-"))
		}
	})
}

func stateOf(n api.ClusterNode) string {
	if n.Draining {
		return "draining"
	}
	return "serving"
}

// roomsCmd lists the rooms of all nodes.
type roomsCmd struct {
	restFlags
	JSON bool `help:"Print JSON." name:"json"`
}

// Run implements the command.
func (c *roomsCmd) Run(ctx context.Context, out console) error {
	var answer struct {
		Rooms  []api.ClusterRoom `json:"rooms"`
		Silent []string          `json:"silent"`
	}
	return c.list(ctx, out, "/v1/cluster/rooms", c.JSON, &answer, func(w io.Writer) {
		fmt.Fprintln(w, "MEETING\tNODE\tPARTICIPANTS\tHOME")
		for _, r := range answer.Rooms {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", r.MeetingID, r.Node, r.Participants, map[bool]string{true: "home", false: "-"}[r.Home])
		}
		printSilent(out, answer.Silent)
	})
}

// linksCmd lists the links between all nodes.
type linksCmd struct {
	restFlags
	JSON bool `help:"Print JSON." name:"json"`
}

// Run implements the command.
func (c *linksCmd) Run(ctx context.Context, out console) error {
	var answer struct {
		Links  []api.ClusterLink `json:"links"`
		Silent []string          `json:"silent"`
	}
	return c.list(ctx, out, "/v1/cluster/links", c.JSON, &answer, func(w io.Writer) {
		fmt.Fprintln(w, "NODE\tPEER\tREGION\tSTATE\tROLE\tRTT\tLAYERS IN\tLAYERS OUT\tSENT\tRECEIVED")
		for _, l := range answer.Links {
			state := "down"
			if l.Up {
				state = "up"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f ms\t%d\t%d\t%d\t%d\n", l.Node, l.Peer, cmp.Or(l.Region, "-"), state,
				cmp.Or(l.Role, api.LinkStandby), l.RTT, l.PulledLayers, l.ServedLayers, l.SentBytes, l.ReceivedBytes)
		}
		printSilent(out, answer.Silent)
	})
}

// printSilent says whose part of a list is missing.
func printSilent(out console, silent []string) {
	if len(silent) > 0 {
		fmt.Fprintln(out.stderr, "Not in the list, for they do not answer:", strings.Join(silent, ", "))
	}
}

// undrainCmd makes the cluster send a node new joins again.
type undrainCmd struct {
	restFlags
	Node string `arg:"" help:"Id of the node; any node of the cluster can be asked."`
}

// Run implements the command.
func (c *undrainCmd) Run(ctx context.Context, out console) error {
	if _, err := c.ask(ctx, http.MethodPost, nodePath(c.Node)+"/undrain", "cluster:drain"); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out.stdout, "%s takes new joins.\n", c.Node)
	return err
}

func nodePath(id string) string { return "/v1/cluster/nodes/" + url.PathEscape(id) }

// list prints the answer as it came, or read into answer as a table.
func (f restFlags) list(ctx context.Context, out console, path string, asJSON bool, answer any, table func(io.Writer)) error {
	body, err := f.ask(ctx, http.MethodGet, path, "cluster:read")
	if err != nil {
		return err
	}
	if asJSON {
		_, err := fmt.Fprintf(out.stdout, "%s\n", body)
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("%s does not answer as a node: %w", f.URL, err)
	}
	w := tabwriter.NewWriter(out.stdout, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// ask makes one call, which needs the right, and returns the answer's body. A refusal is an error in the node's words.
func (f restFlags) ask(ctx context.Context, method, path, right string) ([]byte, error) {
	const (
		timeout   = 30 * time.Second
		maxAnswer = 64 << 20
	)
	token, err := f.token(right)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(f.URL, "/")+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no node answers: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the node's answer broke off: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, refusal(resp.Status, body)
	}
	return body, nil
}

// token is the one given, or one signed with the dev key that can do this and nothing else.
func (f restFlags) token(rights ...string) (string, error) {
	if f.Dev == (f.Token != "") {
		return "", errors.New("say who asks: --token TOKEN, or --dev")
	}
	if !f.Dev {
		return f.Token, nil
	}
	key, err := devKey()
	if err != nil {
		return "", err
	}
	now := time.Now()
	return signUserToken(key, userClaims{
		Sub: "dev", Rights: rights, IssuedAt: now.Unix(), ExpiresAt: now.Add(time.Minute).Unix(),
	})
}

// refusal is what a problem says, or the status where the body is none.
func refusal(status string, body []byte) error {
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		return fmt.Errorf("the node answered %s", status)
	}
	return fmt.Errorf("the node answered %s: %s: %s", status, p.Code, p.Detail)
}
