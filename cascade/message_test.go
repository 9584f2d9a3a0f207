package cascade

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestMessages(t *testing.T) {
	long := strings.Repeat("x", maxID+1)
	for name, tc := range map[string]struct {
		m    message
		want error
	}{
		"pull":                 {message{Pull: &Pull{Group: "g", Track: "t", Layers: 1, Streams: [3]Stream{{Media: 1, Repair: 2}}}}, nil},
		"end of a pull":        {message{Pull: &Pull{Group: "g", Track: "t"}}, nil},
		"gone":                 {message{Gone: &Gone{Group: "g", Track: "t"}}, nil},
		"neither":              {message{}, nil},
		"both":                 {message{Pull: &Pull{Group: "g", Track: "t"}, Gone: &Gone{Group: "g", Track: "t"}}, errTwoKinds},
		"no track":             {message{Gone: &Gone{Group: "g"}}, errID},
		"no group":             {message{Pull: &Pull{Track: "t"}}, errID},
		"long id":              {message{Pull: &Pull{Group: long, Track: "t"}}, errID},
		"a fourth layer":       {message{Pull: &Pull{Group: "g", Track: "t", Layers: 8}}, errLayers},
		"no SSRC for a layer":  {message{Pull: &Pull{Group: "g", Track: "t", Layers: 2, Streams: [3]Stream{{Media: 1, Repair: 2}}}}, errSSRC},
		"one SSRC for two":     {message{Pull: &Pull{Group: "g", Track: "t", Layers: 3, Streams: [3]Stream{{Media: 1, Repair: 2}, {Media: 3, Repair: 1}}}}, errSSRC},
		"one SSRC in a stream": {message{Pull: &Pull{Group: "g", Track: "t", Layers: 1, Streams: [3]Stream{{Media: 1, Repair: 1}}}}, errSSRC},

		"pull of another's track": {message{Pull: &Pull{
			Group: "g", Track: "t", Origin: "o", Participant: "p", Source: "camera", RIDs: []string{"q", "h", "f"}, Path: []string{"n", "m"},
			Layers: 1, Streams: [3]Stream{{Media: 1, Repair: 2, Have: 1 << 16}},
		}}, nil},
		"gone with a reason": {message{Gone: &Gone{Group: "g", Track: "t", Origin: "o", Reason: TooFar}}, nil},
		"a long reason":      {message{Gone: &Gone{Group: "g", Track: "t", Reason: Reason(long)}}, errID},
		"a long origin":      {message{Pull: &Pull{Group: "g", Track: "t", Origin: long}}, errID},
		"a long participant": {message{Pull: &Pull{Group: "g", Track: "t", Participant: long}}, errID},
		"a long source":      {message{Pull: &Pull{Group: "g", Track: "t", Source: long}}, errNames},
		"four rids":          {message{Pull: &Pull{Group: "g", Track: "t", RIDs: make([]string, 4)}}, errNames},
		"a long rid":         {message{Pull: &Pull{Group: "g", Track: "t", RIDs: []string{long}}}, errNames},
		"a path too long":    {message{Pull: &Pull{Group: "g", Track: "t", Path: []string{"a", "b", "c"}}}, errPath},
		"nobody in a path":   {message{Pull: &Pull{Group: "g", Track: "t", Path: []string{""}}}, errPath},
		"no sequence number": {message{Pull: &Pull{Group: "g", Track: "t", Streams: [3]Stream{{Have: 1<<16 + 1}}}}, errHave},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := tc.m.encode()
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if tc.want != nil {
				return
			}
			if _, err := decode(b); err != nil {
				t.Error(err)
			}
		})
	}
}

// FuzzDecode: whatever comes is refused, or is something that can be sent on and comes out the same.
func FuzzDecode(f *testing.F) {
	for _, m := range []message{{Pull: new(pullOf("tr_1"))}, {Gone: &Gone{Group: "g", Track: "t"}}, {}} {
		b, err := m.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"pull":{"group":"g","track":"t","streams":[]},"new":[1]}`))
	f.Add([]byte(`{"pull":{"group":"g","track":"t","origin":"o","rids":[],"path":["a",""],"streams":[{"have":65536}]}}`))
	f.Add([]byte(`{"pull":null,"gone":{"group":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if errors.Is(err, errTooBig) {
			return // escapes take more room than what they stand for
		}
		if err != nil {
			t.Fatalf("cannot be sent on: %v", err)
		}
		same, err := decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := same.encode(); err != nil || !bytes.Equal(again, third) {
			t.Errorf("%s came out as %s: %v", again, third, err)
		}
	})
}

// FuzzReadIntroduction: whatever comes over the bus, reading it ends without a panic and within bounds.
func FuzzReadIntroduction(f *testing.F) {
	f.Add([]byte(`{"from":"node-b","ufrag":"aaaa","password":"bbbb"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := readIntroduction(b); err == nil && (badID(i.From) || badID(i.Ufrag) || badID(i.Password)) {
			t.Errorf("accepted %+v", i)
		}
	})
}
