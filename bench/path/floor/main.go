// Command floor hands datagrams to the kernel in batches, and does nothing else: no reading, no encryption, no rewriting. What it
// costs is the floor that no SFU can be under unless it uses the kernel better.
//
// Each line of JSON on its standard input is an order; when it has been carried out, a line of JSON tells how many datagrams
// went. It ends when its input does. It runs on Linux only.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run() error {
	s, err := newSender()
	if err != nil {
		return err
	}
	answers := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		sent, err := s.carryOut(o)
		if err != nil {
			return err
		}
		if err := answers.Encode(map[string]uint64{"sent": sent}); err != nil {
			return err
		}
	}
	return lines.Err()
}
