package rtc

import (
	"testing"

	"github.com/pion/stun/v4"
)

func TestParseSTUN(t *testing.T) {
	request := func(username string) []byte {
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(username))
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	for name, tc := range map[string]struct {
		b     []byte
		ok    bool
		ufrag string
	}{
		"a check":              {request("server:client"), true, "server"},
		"no colon":             {request("server"), true, ""},
		"empty":                {nil, false, ""},
		"DTLS":                 {append([]byte{22}, make([]byte, 40)...), false, ""},
		"too short":            {request("a:b")[:19], false, ""},
		"attribute beyond end": {append(request("a:b")[:20], 0, 6, 255, 255), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, ok := parseSTUN(tc.b)
			if ok != tc.ok || m.ufrag != tc.ufrag {
				t.Errorf("%v %q, want %v %q", ok, m.ufrag, tc.ok, tc.ufrag)
			}
		})
	}
}

// FuzzParseSTUN: whatever arrives, reading it ends without a panic, and what pion takes for a request we do too.
func FuzzParseSTUN(f *testing.F) {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("server:client"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := parseSTUN(b)
		theirs := &stun.Message{Raw: append([]byte(nil), b...)}
		if theirs.Decode() != nil || len(b) == 0 || b[0] > 3 {
			return
		}
		if !ok {
			t.Fatal("refused what pion takes")
		}
		if (theirs.Type.Class == stun.ClassRequest) != got.request {
			t.Errorf("class %v, request %v", theirs.Type.Class, got.request)
		}
	})
}
