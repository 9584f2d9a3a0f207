package wire_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/signal/wire"
)

func TestDecode(t *testing.T) {
	decoder := wire.NewDecoder(wire.ClientMessages())
	for _, tc := range []struct {
		name, in string
		want     any
		fault    string // part of what is said
		field    string
	}{
		{name: "chat", in: `{"type":"chat.message","id":"7","text":"hi","to":"pt_1"}`, want: &wire.ChatSend{Text: "hi", To: "pt_1"}},
		{name: "no fields", in: `{"type":"room.lock","id":"7"}`, want: &wire.Empty{}},
		{name: "null candidate", in: `{"type":"ice.candidate","id":"7","candidate":null}`, want: &wire.Candidate{}},
		{name: "unknown field", in: `{"type":"chat.message","id":"7","text":"hi","colour":"red"}`, fault: `no field "colour"`, field: "colour"},
		{name: "unknown nested field", in: `{"type":"participant.offer","id":"7","sdp_offer":"v","tracks":[{"mid":"0","sauce":"camera"}]}`, fault: `no field "sauce"`, field: "sauce"},
		{name: "wrong type", in: `{"type":"chat.message","id":"7","text":5}`, fault: `"text" cannot be a JSON number`, field: "text"},
		{name: "wrong nested type", in: `{"type":"participant.offer","id":"7","sdp_offer":"v","tracks":[{"mid":true}]}`, fault: `"tracks.mid" cannot be a JSON bool`, field: "tracks.mid"},
		{name: "negative sequence", in: `{"type":"participant.resume","id":"7","last_seq":-1}`, fault: `"last_seq"`, field: "last_seq"},
		{name: "not an object", in: `["chat.message"]`, fault: "one JSON object"},
		{name: "cut off", in: `{"type":"chat.mess`, fault: "JSON object"},
		{name: "two objects", in: `{"type":"room.lock"}{"type":"room.end"}`, fault: "one JSON object"},
		{name: "not UTF-8", in: "{\"type\":\"chat.message\",\"text\":\"\xff\"}", fault: "UTF-8"},
		{name: "empty", in: ``, fault: "JSON object"},
		{name: "deep", in: `{"type":` + strings.Repeat("[", 20_000), fault: "JSON object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head, body, err := decoder.Decode([]byte(tc.in))
			if tc.fault == "" {
				if err != nil || head.ID != "7" || !reflect.DeepEqual(body, tc.want) {
					t.Errorf("Decode = %+v, %+v, %v; want %+v", head, body, err, tc.want)
				}
				return
			}
			fault, ok := errors.AsType[*wire.Fault](err)
			if !ok || !strings.Contains(fault.Say, tc.fault) || fault.Field != tc.field {
				t.Errorf("Decode says %#v, want %q about field %q", err, tc.fault, tc.field)
			}
		})
	}
}

func TestDecodeUnknownType(t *testing.T) {
	decoder := wire.NewDecoder(wire.ClientMessages())
	for _, in := range []string{`{"id":"7","type":"room.snapshot"}`, `{"id":"7"}`} {
		head, _, err := decoder.Decode([]byte(in))
		if !errors.Is(err, wire.ErrUnknownType) || head.ID != "7" {
			t.Errorf("Decode(%s) = %+v, %v", in, head, err)
		}
	}
}

func TestEncodePutsBodyBesideEnvelope(t *testing.T) {
	for _, tc := range []struct {
		name string
		head wire.Envelope
		body any
		want string
	}{
		{"event", wire.Envelope{Type: wire.TypeLayers, Seq: 3}, wire.Layers{TrackID: "tr_1"}, `{"type":"media.layers","seq":3,"track_id":"tr_1","wanted":null}`},
		{"nothing to say", wire.Envelope{Type: wire.TypeOK, ReplyTo: "7"}, wire.Empty{}, `{"type":"ok","reply_to":"7"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := wire.Encode(tc.head, tc.body)
			if err != nil || string(got) != tc.want {
				t.Errorf("Encode = %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

// fuzzMessage decodes what a stranger may send as one message type. Whatever is accepted must survive being written and
// read again.
func fuzzMessage(f *testing.F, typ string, bodies ...string) {
	f.Helper()
	decoder := wire.NewDecoder(wire.ClientMessages())
	for _, body := range bodies {
		f.Add([]byte(body))
	}
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, fields []byte) {
		message, err := wire.Join(wire.Envelope{Type: typ, ID: "7"}, fields)
		if err != nil {
			return
		}
		head, body, err := decoder.Decode(message)
		if err != nil {
			checkFault(t, err)
			return
		}
		again, err := wire.Encode(head, body)
		if err != nil {
			t.Fatalf("accepted but not encodable: %v", err)
		}
		_, second, err := decoder.Decode(again)
		if err != nil || !reflect.DeepEqual(normal(t, body), normal(t, second)) {
			t.Errorf("%s became %s: %v", message, again, err)
		}
	})
}

func checkFault(t *testing.T, err error) {
	t.Helper()
	fault, ok := errors.AsType[*wire.Fault](err)
	if !ok && !errors.Is(err, wire.ErrUnknownType) {
		t.Errorf("error is no fault: %v", err)
	}
	if ok && (fault.Say == "" || len(fault.Say) > 1000) {
		t.Errorf("what is said has %d bytes", len(fault.Say))
	}
}

// normal is the body as JSON, where nil and empty slices look alike to their omitempty.
func normal(t *testing.T, body any) string {
	t.Helper()
	out, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func FuzzHello(f *testing.F) {
	fuzzMessage(f, wire.TypeHello, `{"participant_id":"pt_1","display_name":"A","sdp_offer":"v=0","tracks":[{"mid":"0","source":"camera"}]}`)
}

func FuzzOffer(f *testing.F) {
	fuzzMessage(f, wire.TypeOffer, `{"sdp_offer":"v=0","tracks":[{"mid":"0","source":"screen"}]}`)
}

func FuzzResume(f *testing.F) {
	fuzzMessage(f, wire.TypeResume, `{"last_seq":18446744073709551615}`, `{"last_seq":1e3}`)
}

func FuzzCandidate(f *testing.F) {
	fuzzMessage(f, wire.TypeCandidate, `{"candidate":null}`, `{"candidate":"candidate:1","sdp_mid":"0","username_fragment":"u"}`)
}

func FuzzPresenceUpdate(f *testing.F) {
	fuzzMessage(f, wire.TypePresenceUpdate, `{"audio_muted":true,"hand_raised":false}`)
}

func FuzzSubscriptionUpdate(f *testing.F) {
	fuzzMessage(f, wire.TypeSubscriptionUpdate, `{"mode":"auto"}`, `{"slots":[{"mid":"3","track_id":"tr_1","max_width":-1,"priority":9}]}`)
}

func FuzzChat(f *testing.F) { fuzzMessage(f, wire.TypeChat, `{"text":"hi","to":"pt_1"}`) }

func FuzzAdmit(f *testing.F) { fuzzMessage(f, wire.TypeAdmit, `{"participant_id":"pt_1"}`) }

func FuzzDeny(f *testing.F) { fuzzMessage(f, wire.TypeDeny, `{"participant_id":"pt_1"}`) }

func FuzzMute(f *testing.F) {
	fuzzMessage(f, wire.TypeMute, `{"participant_id":"pt_1","source":"camera"}`)
}

func FuzzRemove(f *testing.F) { fuzzMessage(f, wire.TypeRemove, `{"participant_id":"pt_1"}`) }

func FuzzLock(f *testing.F) { fuzzMessage(f, wire.TypeLock) }

func FuzzUnlock(f *testing.F) { fuzzMessage(f, wire.TypeUnlock) }

func FuzzEnd(f *testing.F) { fuzzMessage(f, wire.TypeEnd) }
