package placement

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"
	"pgregory.net/rapid"
)

func TestFactsArriveAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9:/.-]{0,40}`)
		n := Node{
			ID: "nd_1", Region: "eu-" + text.Draw(t, "region"), SFUEndpoint: text.Draw(t, "sfu"), SignalEndpoint: text.Draw(t, "signal"),
			ProbeURL: text.Draw(t, "probe"), Version: text.Draw(t, "version"), Protocol: rapid.IntRange(0, 9).Draw(t, "protocol"),
			Capacity: rapid.Float64Range(0, 64).Draw(t, "capacity"), Draining: rapid.Bool().Draw(t, "draining"),
			Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		}
		if rapid.Bool().Draw(t, "links") {
			n.Media, n.Fingerprint = netip.MustParseAddrPort("[2001:db8::7]:7881"), "sha-256 0F"+strings.Repeat(":A1", 31)
			n.Roles = []string{RoleMedia}
			n.MediaToo = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:7881"), netip.MustParseAddrPort("[2001:db8::8]:443")}
		}
		meta, err := encodeFacts(n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeFacts(n.ID, meta)
		if err != nil || !reflect.DeepEqual(got, n) {
			t.Fatalf("%+v, %v, want %+v", got, err, n)
		}
	})
}

func TestFactsOfALargeNodeFit(t *testing.T) {
	n := Node{
		Region: "southeast-asia-2", SFUEndpoint: "sfu-17.southeast-asia-2.parley.example.net:7881",
		SignalEndpoint: "wss://signal-17.southeast-asia-2.parley.example.net/v1/signal",
		ProbeURL:       "https://signal-17.southeast-asia-2.parley.example.net/livez", Version: "v12.34.56-78-gabcdef012345-dirty",
		Media: netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"), Fingerprint: "sha-256 0F" + strings.Repeat(":A1", 31),
		Roles: []string{RoleAPI, RoleSignal, RoleMedia}, Protocol: 12, Capacity: 12.5, Draining: true, Incarnation: 1 << 62,
	}
	meta, err := encodeFacts(n)
	t.Logf("%d of %d bytes", len(meta), memberlist.MetaMaxSize)
	if err != nil {
		t.Error(err)
	}
}

// A later release may tell more: what is not known is skipped.
func TestFactsOfALaterRelease(t *testing.T) {
	n, err := decodeFacts("nd_1", []byte(`{"r":"eu","i":7,"zz":{"new":[1]}}`))
	if err != nil || n.Region != "eu" || n.Incarnation != 7 {
		t.Errorf("%+v, %v", n, err)
	}
}

// The release before told less: what is missing means what it meant then.
func TestFactsOfAnEarlierRelease(t *testing.T) {
	n, err := decodeFacts("nd_1", []byte(`{"r":"eu","m":"192.0.2.1:7881","s":"wss://eu/v1/signal","v":"0.1","i":7}`))
	if err != nil || n.Protocol != 0 || n.Draining || len(n.Roles) != 0 {
		t.Errorf("%+v, %v", n, err)
	}
	current := Node{ID: "nd_2", Region: "eu", Protocol: CurrentProtocol}
	if got := Protocol([]Node{n, current}); got != 0 {
		t.Errorf("together they speak %d", got)
	}
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"r":"eu","i":7,"f":"AAAA","l":"192.0.2.1:1","c":-1,"n":3}`))
	f.Fuzz(func(t *testing.T, meta []byte) {
		n, err := decodeFacts("nd_1", meta)
		if err != nil {
			return
		}
		if !(n.weight() > 0) {
			t.Errorf("weight %v", n.weight())
		}
		if again, err := encodeFacts(n); err == nil {
			if same, err := decodeFacts("nd_1", again); err != nil || !reflect.DeepEqual(same, n) {
				t.Errorf("%+v, %v, want %+v", same, err, n)
			}
		}
	})
}

func FuzzPulse(f *testing.F) {
	f.Add([]byte(`{"id":"a","n":1,"u":0.5,"w":-3,"p":77,"c":[0,0,0,0,0,0,0,0,1.5,0,1e-5]}`))
	at := coordinate.NewCoordinate(coordinate.DefaultConfig())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePulse(data)
		if err != nil {
			return
		}
		n := p.apply(Node{ID: p.ID})
		n.Distance(Node{Coordinate: at})
		if n.Load != n.Load.sane() || n.Pressure < Free || n.Pressure > Full {
			t.Errorf("%+v", n)
		}
		if _, err := json.Marshal(newPulse(n, 1)); err != nil {
			t.Error(err)
		}
	})
}

// Pulses that arrive late, twice, in any order or from an earlier life leave the same as the last one alone, and only
// news is passed on.
func TestPulsesConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, err := New(Config{NodeID: "me", Region: "eu", Listen: "127.0.0.1:0"}, Node{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		c.alive(Node{ID: "other", Region: "eu", Incarnation: 2}, netip.AddrPort{})
		var latest uint64
		for range rapid.IntRange(1, 30).Draw(t, "pulses") {
			p := pulse{
				ID: "other", Incarnation: rapid.Uint64Range(1, 3).Draw(t, "incarnation"), Number: rapid.Uint64Range(1, 10).Draw(t, "number"),
			}
			p.People = int(p.Number)
			news := p.Incarnation == 2 && p.Number > latest
			if news {
				latest = p.Number
			}
			if got := c.hear(p); got != news {
				t.Fatalf("%+v is news: %v", p, got)
			}
		}
		if n, _ := c.Lookup("other"); n.Load.Participants != int(latest) {
			t.Fatalf("%+v, want %d", n.Load, latest)
		}
	})
}

// A letter is none of what earlier releases know, and they drop it.
func TestEarlierReleasesDropLetters(t *testing.T) {
	for _, by := range []carriage{byPacket, byStream} {
		data, err := letter{From: "nd_1", Number: 7, Body: []byte("hello"), by: by}.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodePulse(data); err == nil {
			t.Error("a letter is taken for a pulse")
		}
	}
	if pulse, _ := json.Marshal(pulse{ID: "nd_1", Number: 1}); isLetter(pulse) {
		t.Error("a pulse is taken for a letter")
	}
}

func FuzzLetter(f *testing.F) {
	for _, l := range []letter{
		{From: "nd_1", Number: 7, Body: []byte("question"), by: byPacket},
		{From: "nd_1", Number: 1 << 63, Answer: true, Failed: "no", by: byPacket},
		{From: "nd_1", Number: 8, Answer: true, Body: make([]byte, 2*maxLetter), by: byStream},
	} {
		data, err := l.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := decodeLetter(data)
		if err != nil {
			return
		}
		if most := l.by.most(); len(data) > most || l.From == "" || l.Number == 0 || len(l.Body) > most {
			t.Errorf("%+v", l)
		}
	})
}
