package client

import (
	"encoding/json"
	"testing"

	"github.com/parley-sfu/parley/signal/wire"
)

// feed applies events as the server encodes them.
func feed(t *testing.T, r *roster, kind string, body any) Event {
	t.Helper()
	raw, err := wire.Encode(wire.Envelope{Type: kind, Seq: 1}, body)
	if err != nil {
		t.Fatal(err)
	}
	event, err := r.apply(kind, raw)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

func TestRoster(t *testing.T) {
	r := &roster{}
	me, ann, bob := wire.Identity{ID: "me"}, wire.Identity{ID: "ann"}, wire.Identity{ID: "bob"}
	feed(t, r, wire.TypeSnapshot, wire.Snapshot{
		Self: wire.Participant{ID: "me"}, Participants: []wire.Participant{{ID: "me"}}, Waiting: []wire.Identity{ann},
	})
	joined := feed(t, r, wire.TypeParticipantJoined, wire.ParticipantEvent{Participant: ann, Participants: []wire.Identity{ann, bob}})
	if e, ok := joined.(ParticipantsJoined); !ok || len(e.Participants) != 2 || len(r.participants) != 3 || len(r.waiting) != 0 {
		t.Errorf("after two joined: %+v, roster %+v, waiting %+v", joined, r.participants, r.waiting)
	}
	feed(t, r, wire.TypePresenceChanged, wire.PresenceChanged{ParticipantID: "me", AudioMuted: new(true)})
	feed(t, r, wire.TypePresenceChanged, wire.PresenceChanged{ParticipantID: "me", HandRaised: new(true)})
	if !r.self.AudioMuted || !r.self.HandRaised || !r.participants[0].AudioMuted || r.self.VideoMuted {
		t.Errorf("self = %+v, entry %+v", r.self, r.participants[0])
	}
	for _, owner := range []string{"me", "bob"} {
		feed(t, r, wire.TypeTrackPublished, wire.TrackEvent{Track: wire.Track{ID: "tr_" + owner, ParticipantID: owner, Source: "camera"}})
	}
	if track, ok := r.ownTrack("camera"); !ok || track.ID != "tr_me" {
		t.Errorf("own camera = %+v, %t", track, ok)
	}
	feed(t, r, wire.TypeParticipantLeft, wire.ParticipantEvent{Participant: bob})
	if len(r.participants) != 2 || len(r.tracks) != 1 {
		t.Errorf("after bob left: %+v, tracks %+v", r.participants, r.tracks)
	}
	feed(t, r, wire.TypeTrackUnpublished, wire.TrackEvent{Track: wire.Track{ID: "tr_me"}})
	if _, ok := r.ownTrack("camera"); ok {
		t.Error("an unpublished track is still there")
	}
	feed(t, r, wire.TypeKnock, wire.ParticipantEvent{Participant: bob})
	feed(t, r, wire.TypeKnock, wire.ParticipantEvent{Participant: bob})
	feed(t, r, wire.TypeSlots, wire.Slots{Slots: []wire.Slot{{MID: "1"}}})
	feed(t, r, wire.TypeActiveSpeakers, wire.ActiveSpeakers{Speakers: []wire.Speaker{{ParticipantID: me.ID}}})
	if len(r.waiting) != 1 || len(r.slots) != 1 || len(r.speakers) != 1 {
		t.Errorf("waiting %+v, slots %+v, speakers %+v", r.waiting, r.slots, r.speakers)
	}
	if e, ok := feed(t, r, "room.teleported", struct{}{}).(Unrecognized); !ok || e.Type != "room.teleported" {
		t.Error("a message of an unknown type was not told")
	}
}

// FuzzRoster feeds what a server might send.
func FuzzRoster(f *testing.F) {
	f.Add(wire.TypeSnapshot, []byte(`{"self":{"id":"a"},"participants":null,"slots":[{"mid":"0"}]}`))
	f.Add(wire.TypeParticipantJoined, []byte(`{"participant":{"id":"a"},"participants":[{},{}]}`))
	f.Add(wire.TypePresenceChanged, []byte(`{"participant_id":"a","audio_muted":true}`))
	f.Add(wire.TypeError, []byte(`{"code":7}`))
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		event, err := (&roster{}).apply(kind, raw)
		if (event == nil) == (err == nil) {
			t.Errorf("event %v, error %v", event, err)
		}
		if err == nil && !json.Valid(raw) && len(raw) > 0 {
			if _, unknown := event.(Unrecognized); !unknown && kind != wire.TypeAdmitted {
				t.Errorf("%s was made of what is no JSON", kind)
			}
		}
	})
}
