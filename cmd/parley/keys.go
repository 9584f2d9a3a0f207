package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"text/tabwriter"
)

// nodeFlags find the running node on this machine.
type nodeFlags struct {
	Config string `help:"Configuration file of the node." type:"existingfile" placeholder:"FILE"`
	Data   string `help:"Data directory of the node." type:"existingdir" placeholder:"DIR"`
}

func (f nodeFlags) dataDir(environ []string) (string, error) {
	if f.Data != "" {
		return f.Data, nil
	}
	cfg, err := load(f.Config, environ)
	return cfg.DataDir, err
}

// keysListCmd lists the public keys that verify join tokens.
type keysListCmd struct {
	nodeFlags
	JSON bool `help:"Print the JWK set." name:"json"`
}

// Run implements the command.
func (c *keysListCmd) Run(ctx context.Context, out console) error {
	dir, err := c.dataDir(out.environ)
	if err != nil {
		return err
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := askControl(ctx, dir, http.MethodGet, "/keys", &set); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(out.stdout).Encode(set)
	}
	table := tabwriter.NewWriter(out.stdout, 0, 0, 2, ' ', 0)
	for _, key := range set.Keys {
		fmt.Fprintf(table, "%v\t%v\t%v\n", key["kid"], key["alg"], key["use"])
	}
	return table.Flush()
}

// keysRotateCmd makes a running node sign with a new key.
type keysRotateCmd struct{ nodeFlags }

// Run implements the command.
func (c *keysRotateCmd) Run(ctx context.Context, out console) error {
	dir, err := c.dataDir(out.environ)
	if err != nil {
		return err
	}
	if err := askControl(ctx, dir, http.MethodPost, "/keys/rotate", nil); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out.stdout, "Join tokens are now signed with a new key.")
	return err
}
