package lean

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

// TestPathIsFoundFarAway: of many candidates any one may be the one that answers, and the answer may be long in coming.
func TestPathIsFoundFarAway(t *testing.T) {
	const far = 500 * time.Millisecond // there and back
	a := answer{ufrag: "node", password: strings.Repeat("s", 22)}
	for i := range maxCandidates {
		a.candidates = append(a.candidates, udp.AddrFrom(netip.MustParseAddrPort(fmt.Sprint("192.0.2.", i+1, ":7881"))))
	}
	for number, works := range a.candidates {
		p := path{ufrag: "viewer", password: strings.Repeat("p", 22)}
		p.to(&a)
		type answered struct {
			at time.Time
			b  []byte
		}
		var coming []answered
		begun := time.Unix(1_000_000, 0)
		now := begun
		send := func(b []byte, to udp.Addr) {
			if to == works {
				coming = append(coming, answered{now.Add(far), success(t, b, a.password)})
			}
		}
		for ; !p.nominated && now.Sub(begun) < 3*far; now = now.Add(10 * time.Millisecond) {
			for len(coming) > 0 && !coming[0].at.After(now) {
				p.message(coming[0].b, works, now, send)
				coming = coming[1:]
			}
			if p.due(now, send) {
				t.Fatalf("candidate %d: lost after %s", number, now.Sub(begun))
			}
		}
		if !p.nominated || p.chosen != works {
			t.Errorf("candidate %d answers after %s, and is not found", number, far)
		}
	}
}

// success is a node's answer to a check.
func success(t *testing.T, b []byte, password string) []byte {
	t.Helper()
	request := &stun.Message{Raw: b}
	if err := request.Decode(); err != nil {
		t.Fatal(err)
	}
	m, err := stun.Build(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess,
		stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}
