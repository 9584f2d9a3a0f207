package placement

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"
)

// facts are what a node is. They travel in memberlist's metadata, so that a node is never known without them, and so must
// fit into memberlist.MetaMaxSize bytes. Keys are short for that, keep their meaning for ever, and unknown ones are
// skipped.
type facts struct {
	Region         string   `json:"r"`
	SFUEndpoint    string   `json:"m,omitempty"`
	SignalEndpoint string   `json:"s,omitempty"`
	ProbeURL       string   `json:"p,omitempty"`
	Media          string   `json:"l,omitempty"`
	MediaToo       []string `json:"a,omitempty"` // addresses; those with the port of Media go without it
	Relay          []string `json:"t,omitempty"`
	Fingerprint    string   `json:"f,omitempty"` // of SHA-256, base64
	Roles          []string `json:"o,omitempty"`
	Version        string   `json:"v,omitempty"`
	Protocol       int      `json:"n,omitempty"`
	Capacity       float64  `json:"c,omitempty"`
	Draining       bool     `json:"d,omitempty"`
	Incarnation    uint64   `json:"i"`
}

// fingerprintKind is the only hash that links use.
const fingerprintKind = "sha-256 "

// encodeFacts returns the metadata of a node, or an error that says what does not fit.
func encodeFacts(n Node) ([]byte, error) {
	f := facts{
		Region: n.Region, SFUEndpoint: n.SFUEndpoint, SignalEndpoint: n.SignalEndpoint, ProbeURL: n.ProbeURL,
		Roles: n.Roles, Version: n.Version, Protocol: n.Protocol, Capacity: n.Capacity, Draining: n.Draining,
		Incarnation: n.Incarnation,
	}
	if n.Media.IsValid() {
		f.Media = n.Media.String()
	}
	f.Relay = n.Relay
	for _, a := range n.MediaToo {
		text := a.String()
		if a.Port() == n.Media.Port() {
			text = a.Addr().String()
		}
		f.MediaToo = append(f.MediaToo, text)
	}
	if n.Fingerprint != "" {
		pairs, ok := strings.CutPrefix(n.Fingerprint, fingerprintKind)
		raw, err := hex.DecodeString(strings.ReplaceAll(pairs, ":", ""))
		if !ok || err != nil || len(raw) != 32 {
			return nil, fmt.Errorf("placement: %q is no fingerprint of the kind %sAA:BB:…", n.Fingerprint, fingerprintKind)
		}
		f.Fingerprint = base64.RawStdEncoding.EncodeToString(raw)
	}
	meta, err := json.Marshal(f)
	for err == nil && len(meta) > memberlist.MetaMaxSize && f.shorten() {
		meta, err = json.Marshal(f)
	}
	if err != nil {
		return nil, fmt.Errorf("placement: the node's facts: %w", err)
	}
	if len(meta) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("placement: the node's region, endpoints, roles and version take %d bytes, gossip carries %d: make them shorter",
			len(meta), memberlist.MetaMaxSize)
	}
	return meta, nil
}

// shorten takes out what the cluster can do without: a machine may have dozens of addresses. It is false when nothing is left.
func (f *facts) shorten() bool {
	switch {
	case len(f.MediaToo) > 1:
		f.MediaToo = f.MediaToo[:len(f.MediaToo)-1]
	case len(f.Relay) > 1:
		f.Relay = f.Relay[:len(f.Relay)-1]
	case len(f.MediaToo) > 0:
		f.MediaToo = nil
	default:
		return false
	}
	return true
}

// decodeFacts is the reverse of encodeFacts.
func decodeFacts(id string, meta []byte) (Node, error) {
	var f facts
	if err := json.Unmarshal(meta, &f); err != nil {
		return Node{}, fmt.Errorf("placement: facts of %q: %w", id, err)
	}
	if id == "" || f.Region == "" {
		return Node{}, fmt.Errorf("placement: facts of %q: no id or no region", id)
	}
	n := Node{
		ID: id, Region: f.Region, SFUEndpoint: f.SFUEndpoint, SignalEndpoint: f.SignalEndpoint, ProbeURL: f.ProbeURL,
		Roles: f.Roles, Version: f.Version, Protocol: f.Protocol, Capacity: f.Capacity, Draining: f.Draining,
		Incarnation: f.Incarnation,
	}
	var err error
	if f.Media != "" {
		if n.Media, err = netip.ParseAddrPort(f.Media); err != nil {
			return Node{}, fmt.Errorf("placement: facts of %q: media: %w", id, err)
		}
	}
	n.Relay = f.Relay
	for _, text := range f.MediaToo {
		if a, err := netip.ParseAddr(text); err == nil {
			n.MediaToo = append(n.MediaToo, netip.AddrPortFrom(a, n.Media.Port()))
		} else if at, err := netip.ParseAddrPort(text); err == nil {
			n.MediaToo = append(n.MediaToo, at)
		} // one that makes no sense is of a later release
	}
	if f.Fingerprint != "" {
		raw, err := base64.RawStdEncoding.DecodeString(f.Fingerprint)
		if err != nil || len(raw) != 32 {
			return Node{}, fmt.Errorf("placement: facts of %q: fingerprint: not 32 bytes", id)
		}
		pairs := strings.ToUpper(hex.EncodeToString(raw))
		n.Fingerprint = fingerprintKind + pairs[:2]
		for i := 2; i < len(pairs); i += 2 {
			n.Fingerprint += ":" + pairs[i:i+2]
		}
	}
	return n, nil
}

// pulse is how a node feels. It changes often and may be late, so it travels in messages of its own, each with all of it.
// Only the node itself makes them. Of one incarnation the highest number is true; pulses of another are void.
type pulse struct {
	ID          string    `json:"id"`
	Incarnation uint64    `json:"i"`
	Number      uint64    `json:"n"`
	CPU         float32   `json:"u,omitempty"`
	Packets     float32   `json:"k,omitempty"`
	Bits        float32   `json:"b,omitempty"`
	People      int       `json:"w,omitempty"`
	Pressure    Pressure  `json:"p,omitempty"`
	Place       []float32 `json:"c,omitempty"` // see flatten
}

func newPulse(n Node, number uint64) pulse {
	return pulse{
		ID: n.ID, Incarnation: n.Incarnation, Number: number, CPU: float32(n.Load.CPU), Packets: float32(n.Load.PacketsPerSecond),
		Bits: float32(n.Load.BitsPerSecond), People: n.Load.Participants, Pressure: n.Pressure, Place: flatten(n.Coordinate),
	}
}

// apply shows a pulse on its node.
func (p pulse) apply(n Node) Node {
	n.Load = Load{
		CPU: float64(p.CPU), PacketsPerSecond: float64(p.Packets), BitsPerSecond: float64(p.Bits), Participants: p.People,
	}.sane()
	n.Pressure = min(max(p.Pressure, Free), Full)
	n.Coordinate, _ = unflatten(p.Place)
	return n
}

var errPulse = errors.New("placement: a pulse without a sender or with an impossible coordinate")

func (p pulse) check() error {
	if p.ID == "" || p.Number == 0 {
		return errPulse
	}
	if _, ok := unflatten(p.Place); !ok && len(p.Place) > 0 {
		return errPulse
	}
	return nil
}

func decodePulse(data []byte) (pulse, error) {
	var p pulse
	if err := json.Unmarshal(data, &p); err != nil {
		return pulse{}, fmt.Errorf("placement: pulse: %w", err)
	}
	return p, p.check()
}

// dimensions of the Euclidean part of a coordinate, serf's default.
const dimensions = 8

// flatten makes one list of a coordinate: its vector, error, adjustment and height.
func flatten(c *coordinate.Coordinate) []float32 {
	if c == nil || len(c.Vec) != dimensions {
		return nil
	}
	flat := make([]float32, 0, dimensions+3)
	for _, v := range c.Vec {
		flat = append(flat, float32(v))
	}
	return append(flat, float32(c.Error), float32(c.Adjustment), float32(c.Height))
}

// unflatten is the reverse of flatten. It is false for what no coordinate can be.
func unflatten(flat []float32) (*coordinate.Coordinate, bool) {
	if len(flat) != dimensions+3 {
		return nil, false
	}
	c := &coordinate.Coordinate{Vec: make([]float64, dimensions)}
	for i := range c.Vec {
		c.Vec[i] = float64(flat[i])
	}
	c.Error, c.Adjustment, c.Height = float64(flat[dimensions]), float64(flat[dimensions+1]), float64(flat[dimensions+2])
	return c, c.IsValid()
}

// moved says whether a place differs enough from the one told last to be told again: by two milliseconds or a tenth of
// the way, or when it has become twice as sure.
func moved(from, to *coordinate.Coordinate) bool {
	if from == nil || to == nil {
		return from != to
	}
	step, norm := to.Height-from.Height, 0.0
	sum := step * step
	for i := range to.Vec {
		sum += (to.Vec[i] - from.Vec[i]) * (to.Vec[i] - from.Vec[i])
		norm += to.Vec[i] * to.Vec[i]
	}
	return math.Sqrt(sum) > max(0.002, math.Sqrt(norm)/10) || to.Error < from.Error/2
}
