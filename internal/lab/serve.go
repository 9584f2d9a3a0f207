package lab

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ServeOn runs `parley serve` in the server's namespace of the link, reachable at its address, and returns at once: who
// needs it ready asks it from the client's side. Its MeetingID and what belongs to it are empty.
func ServeOn(tb testing.TB, l *Link) *Node {
	tb.Helper()
	dir := tb.TempDir()
	n := &Node{URL: "http://" + l.ServerIP + ":7880", DataDir: dir}
	config := filepath.Join(dir, "parley.yaml")
	content := fmt.Sprintf(`
region: lab
listen: %[1]s:7880
data_dir: %[2]s
log: {format: text}
node: {media: {listen: "%[1]s:7881"}}
api:
  public_url: %[3]s
  api_keys: [{id: lab, secret: %[4]s}]
`, l.ServerIP, dir, n.URL, rand.Text()+rand.Text())
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	n.Token = tokenFor(tb, config)
	serve := exec.Command(Build(tb), "serve", "--config", config)
	inside(l.Server, serve)
	n.Process = start(tb, serve)
	return n
}

// tokenFor makes a user token for the node of a configuration.
func tokenFor(tb testing.TB, config string) string {
	tb.Helper()
	var stderr bytes.Buffer
	token := exec.Command(Build(tb), "token", "--config", config)
	token.Stderr = &stderr
	out, err := token.Output()
	if err != nil {
		tb.Fatalf("lab: parley token: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}
