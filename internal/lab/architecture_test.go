package lab_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/internal/lab"
)

const module = "github.com/parley-sfu/parley/"

// A room is one folder of the house: a package and what lies under it, up to the next room.
type room struct {
	dir   string
	floor int      // imports run down: to rooms of a lower floor
	extra []string // rooms that it may import all the same
	only  []string // where set, the only rooms that it may import
}

// The picture of the house. Imports run down, never up and never sideways on a floor. What is a leaf on its floor
// (grant, wire, the web app) may be imported from its own floor's main room.
func house() []room {
	nothing := []string{}
	public := []string{"signal/client", "signal/wire"}
	return []room{
		{dir: "cmd/parley", floor: 6},
		{dir: "cmd/swarm", floor: 6},
		{dir: "api", floor: 5, extra: []string{"api/web"}},
		{dir: "api/web", floor: 5, only: nothing},
		{dir: "bench", floor: 5, only: append(public, "bench/lean", "bench/path", "bench/server")},
		{dir: "bench/lean", floor: 5, only: append(public, "internal/udp")},                               // a client of its own, as small as can be
		{dir: "bench/path", floor: 5, only: append(public, "bench/lean", "bench/server", "internal/udp")}, // what Parley is measured beside is in it too
		{dir: "bench/server", floor: 5, only: []string{"internal/loopback"}},
		{dir: "internal/doctor", floor: 5, only: public}, // a client, as bench is
		{dir: "signal", floor: 4, extra: []string{"signal/wire"}},
		{dir: "signal/client", floor: 4, only: []string{"signal/wire"}},
		{dir: "signal/wire", floor: 4, only: nothing},
		{dir: "node", floor: 3},
		{dir: "node/grant", floor: 3, only: []string{"internal/telemetry"}},
		{dir: "cascade", floor: 2},
		{dir: "placement", floor: 2},
		{dir: "turn", floor: 2},
		{dir: "internal/allocation", floor: 1},
		{dir: "internal/bandwidth", floor: 1, extra: []string{"internal/packet"}},
		{dir: "internal/bus", floor: 1},
		{dir: "internal/cert", floor: 1},
		{dir: "internal/packet", floor: 1},
		{dir: "internal/sdp", floor: 1},
		{dir: "internal/split", floor: 1},
		{dir: "internal/udp", floor: 1},
		{dir: "internal/rtc", floor: 1, extra: []string{"internal/udp", "internal/packet"}},
		{dir: "internal/telemetry", floor: 0}, // under all of them
		{dir: "internal/mailbox", floor: 0},
		{dir: "internal/loopback", floor: 0},
		{dir: "internal/lab", floor: 7, only: append(public, "internal/telemetry", "internal/loopback", "internal/lab")},
	}
}

// doors says which rooms may import a library. A library that stands nowhere here may be imported by nobody: that it is
// one more dependency, and where, is decided by writing it down.
func doors() map[string][]string {
	pion := []string{"node", "cascade", "internal/rtc", "signal/client", "bench/lean", "bench/path"}
	return map[string][]string{
		"github.com/alecthomas/kong":           {"cmd/parley", "cmd/swarm"},
		"github.com/HdrHistogram":              {"bench"},
		"github.com/caddyserver/certmagic":     {"internal/cert"},
		"github.com/coder/websocket":           {"signal", "signal/client", "bench/lean"},
		"github.com/gin-gonic/gin":             {"api"},
		"github.com/go-json-experiment/json":   {"api"},
		"github.com/go-viper/mapstructure":     {"cmd/parley"},
		"github.com/google/uuid":               {"signal/client"},
		"github.com/hashicorp/golang-lru":      {"api"},
		"github.com/hashicorp/memberlist":      {"placement"},
		"github.com/hashicorp/serf":            {"placement"},
		"github.com/knadh/koanf":               {"cmd/parley"},
		"github.com/lestrrat-go/jwx":           {"node/grant", "api"},
		"github.com/nats-io":                   {"internal/bus"},
		"github.com/oschwald/maxminddb-golang": {"placement"},
		"github.com/pion":                      append(pion, "internal/packet"),
		"github.com/pion/sdp":                  append(pion, "internal/sdp"),
		"github.com/pion/stun":                 append(pion, "internal/doctor"),
		"github.com/pion/transport":            append(pion, "internal/lab"),
		"github.com/pion/turn":                 {"turn"},
		"github.com/pion/webrtc":               pion,
		"github.com/VictoriaMetrics/metrics":   {"internal/telemetry"},
		"go.uber.org/zap":                      {"internal/cert"},
		"go.yaml.in/yaml":                      {"api", "bench"},
		"golang.org/x/sys":                     {"internal/bus", "internal/rtc", "internal/udp", "internal/lab", "bench/path", "bench/server"},
		"golang.org/x/time":                    {"api", "signal", "internal/split"},
	}
}

// An arrow is one import in one file.
type arrow struct {
	file string // path from the repository's root
	to   string // import path
}

func (a arrow) from() string { return path.Dir(a.file) }
func (a arrow) test() bool   { return strings.HasSuffix(a.file, "_test.go") }

// fault says what is wrong with the arrow, or "".
func (a arrow) fault() string {
	from, ok := roomOf(a.from())
	if !ok {
		return "stands in no room of the house: add its folder to house()"
	}
	if target, own := strings.CutPrefix(a.to, module); own {
		return a.faultInside(from, target)
	}
	if first, _, _ := strings.Cut(a.to, "/"); strings.Contains(first, ".") && !a.test() {
		return a.faultAtDoor(from)
	}
	return ""
}

// faultInside judges an arrow to one of our own packages.
func (a arrow) faultInside(from room, target string) string {
	to, ok := roomOf(target)
	switch {
	case !ok:
		return "leads to no room of the house"
	case to.dir == from.dir:
		return ""
	case a.test() && (to.dir == "internal/lab" || to.dir == "signal/client" || to.floor <= from.floor):
		return "" // a test may use the lab, the public client, and whatever is not above
	case to.dir == "internal/lab":
		return "internal/lab is for tests"
	case from.only != nil:
		if slices.Contains(from.only, to.dir) {
			return ""
		}
		return fmt.Sprintf("runs through a wall: %s may import only %v of ours", from.dir, from.only)
	case slices.Contains(from.extra, to.dir) || to.floor < from.floor:
		return ""
	case to.floor == from.floor:
		return fmt.Sprintf("runs sideways: %s and %s are on the same floor", from.dir, to.dir)
	}
	return fmt.Sprintf("runs up: %s is above %s", to.dir, from.dir)
}

// faultAtDoor judges an arrow to somebody else's package.
func (a arrow) faultAtDoor(from room) string {
	for lib := a.to; lib != "."; lib = path.Dir(lib) {
		rooms, ok := doors()[lib]
		switch {
		case !ok:
			continue
		case slices.Contains(rooms, from.dir):
			return ""
		}
		return fmt.Sprintf("is not at its door: %s is imported only by %v", lib, rooms)
	}
	return "has no door yet: if we want this dependency, say in doors() who may import it"
}

// roomOf finds the room that the folder belongs to: the longest one that it lies in.
func roomOf(dir string) (found room, ok bool) {
	for _, r := range house() {
		inside := dir == r.dir || strings.HasPrefix(dir, r.dir+"/")
		if inside && len(r.dir) > len(found.dir) {
			found, ok = r, true
		}
	}
	return found, ok
}

func TestImportsRunDownThePicture(t *testing.T) {
	count := 0
	told := map[string]bool{}
	for _, a := range allArrows(t) {
		count++
		if fault := a.fault(); fault != "" && !told[a.from()+fault] {
			told[a.from()+fault] = true // once a package is enough
			t.Errorf("%s: import %q %s", a.file, a.to, fault)
		}
	}
	if count < 100 {
		t.Errorf("read only %d imports: the test does not look where the code is", count)
	}
}

func TestThePictureFindsWrongArrows(t *testing.T) {
	for _, tc := range []struct {
		name, file, to string
		want           string // part of the fault; empty: a right arrow
	}{
		{"down", "api/join.go", module + "signal", ""},
		{"down by two floors", "signal/room.go", module + "internal/bus", ""},
		{"to a leaf below", "signal/room.go", module + "node/grant", ""},
		{"to a leaf on the own floor", "signal/room.go", module + "signal/wire", ""},
		{"inside a room", "node/estimate/x.go", module + "node/track", ""},
		{"standard library", "node/x.go", "encoding/json", ""},
		{"a library at its door", "api/x.go", "github.com/gin-gonic/gin", ""},
		{"a library's package at its door", "node/grant/x.go", "github.com/lestrrat-go/jwx/v2/jwt", ""},
		{"the lab from a test", "api/x_test.go", module + "internal/lab", ""},
		{"the client from a test", "node/x_test.go", module + "signal/client", ""},
		{"up", "node/x.go", module + "signal", "runs up"},
		{"up from a test", "node/x_test.go", module + "api", "runs up"},
		{"sideways", "turn/x.go", module + "placement", "runs sideways"},
		{"sideways on the ground", "internal/udp/x.go", module + "internal/packet", "runs sideways"},
		{"server to client", "signal/x.go", module + "signal/client", "runs sideways"},
		{"client to server", "signal/client/x.go", module + "node", "through a wall"},
		{"a leaf that imports", "signal/wire/x.go", module + "node", "through a wall"},
		{"the load tester inside", "bench/x.go", module + "signal", "through a wall"},
		{"the cost of packets inside", "bench/path/x.go", module + "node", "through a wall"},
		{"lean receivers inside", "bench/lean/x.go", module + "node", "through a wall"},
		{"the lab from the product", "api/x.go", module + "internal/lab", "for tests"},
		{"past the door", "signal/x.go", "github.com/nats-io/nats.go", "not at its door"},
		{"past the narrower door", "cascade/x.go", "github.com/pion/turn/v4", "not at its door"},
		{"a new library", "api/x.go", "github.com/someone/thing", "no door yet"},
		{"a new folder", "utils/x.go", "fmt", "no room"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := arrow{tc.file, tc.to}.fault()
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("fault = %q, want %q", got, tc.want)
			}
		})
	}
}

// allArrows reads the imports of every Go file of the repository.
func allArrows(t *testing.T) []arrow {
	t.Helper()
	var arrows []arrow
	walkGo(t, func(file, abs string) {
		parsed, err := parser.ParseFile(token.NewFileSet(), abs, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		for _, spec := range parsed.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Error(err)
			}
			arrows = append(arrows, arrow{file, to})
		}
	})
	return arrows
}

// walkGo calls f for every Go file of the repository with its path from the root and its whole path.
func walkGo(t *testing.T, f func(file, abs string)) {
	t.Helper()
	root := lab.Root(t)
	err := filepath.WalkDir(root, func(abs string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := abs != root && strings.HasPrefix(d.Name(), ".")
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || hidden) {
			return filepath.SkipDir
		}
		if filepath.Ext(abs) == ".go" {
			rel, err := filepath.Rel(root, abs)
			if err != nil {
				return err
			}
			f(filepath.ToSlash(rel), abs)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
