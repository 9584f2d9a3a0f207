// Package lab is where tests run the real thing: the parley binary as processes of their own on free ports, network
// namespaces with links that lose packets, and real browsers. The tests that use all of it are in lab/system; the
// browsers' side of them is in lab/browser.
//
// A World is several regions: namespaces with addresses of their own, a WAN between them (package network), a NATS server
// and nodes in each, and clients that run in the test but have their sockets in there. A Home is a client's own network: a namespace
// behind a NAT or a firewall, from which it reaches the regions.
//
// Everything here is for tests: helpers take a testing.TB, fail it with what the process logged, and clean up after it.
// The lab touches nothing but loopback and the namespaces that it made.
package lab

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Root is the repository's root.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := root()
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// root is the nearest folder above the test that has a go.mod.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("lab: no go.mod above the test")
		}
		dir = parent
	}
}
