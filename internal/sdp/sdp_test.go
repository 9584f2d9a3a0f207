package sdp

import (
	"strings"
	"testing"

	psdp "github.com/pion/sdp/v3"
)

const browserOffer = "v=0\r\no=- 46117317 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"a=group:BUNDLE 0 1 2\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n" +
	"a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=sendonly\r\na=rtcp-mux\r\n" +
	"a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:0 PCMU/8000\r\na=ssrc:11 cname:x\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103\r\nc=IN IP4 0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n" +
	"a=mid:1\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n" +
	"a=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n" +
	"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n" +
	"a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n" +
	"a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=recvonly\r\na=rtcp-mux\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:* nack\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:3\r\na=sctp-port:5000\r\n"

func TestParse(t *testing.T) {
	o, err := Parse(browserOffer)
	if err != nil {
		t.Fatal(err)
	}
	if o.Ufrag != "abcd" || o.HashFunction != "sha-256" || o.HashValue != "AA:BB" || len(o.Sections) != 4 {
		t.Fatalf("%+v", o)
	}
	audio, camera, slot, data := o.Sections[0], o.Sections[1], o.Sections[2], o.Sections[3]
	if !audio.Usable || audio.Direction != SendOnly || audio.SSRC != 11 || len(audio.Codecs) != 3 || audio.Codecs[0].Name != "opus" || audio.Codecs[0].Channels != 2 {
		t.Errorf("audio: %+v", audio)
	}
	if strings.Join(camera.RIDs, "") != "qhf" || len(camera.Codecs) != 2 || camera.Codecs[0].RTX != 97 || camera.Codecs[1].RTX != 103 {
		t.Errorf("camera: %+v", camera)
	}
	if got := camera.Codecs[1].Parameter("packetization-mode"); got != "1" {
		t.Errorf("packetization-mode %q", got)
	}
	if camera.Extensions["urn:ietf:params:rtp-hdrext:sdes:mid"] != 4 {
		t.Errorf("extensions: %v", camera.Extensions)
	}
	if slot.Direction != RecvOnly || len(slot.Codecs) != 1 || len(slot.Codecs[0].Feedback) != 1 {
		t.Errorf("slot: %+v", slot)
	}
	if data.Usable {
		t.Error("a data channel m-line is not answered")
	}
}

func TestParseRefuses(t *testing.T) {
	change := func(old, with string) string { return strings.Replace(browserOffer, old, with, 1) }
	for name, tc := range map[string]struct{ offer, says string }{
		"nothing":              {"", "no m-lines"},
		"no SDP":               {"hello", "not SDP"},
		"no m-lines":           {"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "no m-lines"},
		"too large":            {browserOffer + strings.Repeat("a=x:y\r\n", MaxSize/7), "larger than"},
		"10,000 m-lines":       {browserOffer + strings.Repeat("\nm=", 10000), "more than 128 m-lines"},
		"no mid":               {change("a=mid:0\r\n", ""), "no usable mid"},
		"the same mid twice":   {change("a=mid:1", "a=mid:0"), `two m-lines have the mid "0"`},
		"no bundle":            {change("a=group:BUNDLE 0 1 2\r\n", ""), "ICE credentials"},
		"short password":       {strings.ReplaceAll(browserOffer, "0123456789012345678901", "short"), "ICE credentials"},
		"no fingerprint":       {strings.ReplaceAll(browserOffer, "a=fingerprint:sha-256 AA:BB\r\n", ""), "fingerprint"},
		"wants to be passive":  {change("a=setup:actpass", "a=setup:passive"), "passive end of DTLS"},
		"thousands of formats": {change(" 111 63 0", strings.Repeat(" 96", 3000)), "more than 64 formats"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.offer)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want one with %q", err, tc.says)
			}
		})
	}
}

func TestAnswerMirrorsTheOffer(t *testing.T) {
	o, err := Parse(browserOffer)
	if err != nil {
		t.Fatal(err)
	}
	a := Answer{
		Version: 1, Ufrag: "wxyz", Password: "p", HashFunction: "sha-256", HashValue: "CC", Candidates: []string{"1 1 udp 1 127.0.0.1 7881 typ host"},
		Sections: []AnswerSection{
			{Offer: &o.Sections[0], Direction: RecvOnly, Codecs: o.Sections[0].Codecs[:1], Mixed: true, Extensions: o.Sections[0].Common("urn:ietf:params:rtp-hdrext:ssrc-audio-level", "unknown")},
			{Offer: &o.Sections[1], Direction: RecvOnly, Codecs: o.Sections[1].Codecs, RIDs: o.Sections[1].RIDs},
			{Offer: &o.Sections[2], Direction: SendOnly, Codecs: o.Sections[2].Codecs, SSRC: 7, RTXSSRC: 8, CNAME: "c", StreamID: "s", TrackTag: "t"},
			{Offer: &o.Sections[3]},
		},
	}
	text := a.String()
	var d psdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if len(d.MediaDescriptions) != 4 || d.MediaDescriptions[3].MediaName.Port.Value != 0 {
		t.Errorf("m-lines do not mirror the offer:\n%s", text)
	}
	for _, line := range []string{
		"a=group:BUNDLE 0 1 2", "a=setup:passive", "a=rid:h recv", "a=simulcast:recv q;h;f", "a=ssrc-group:FID 7 8", "a=ssrc:7 cname:c",
		"a=msid:s t", "a=extmap-allow-mixed\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level", "a=rtpmap:96 VP8/90000", "a=fmtp:97 apt=96", "a=end-of-candidates",
	} {
		if !strings.Contains(text, line+"\r\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if strings.Contains(text, "unknown") || strings.Count(text, "mixed") != 1 || strings.Count(text, "a=candidate:") != 1 {
		t.Errorf("too much in\n%s", text)
	}
}

// FuzzParse: whatever is offered, parsing ends without a panic, and what is accepted can be answered as valid SDP.
func FuzzParse(f *testing.F) {
	f.Add(browserOffer)
	f.Add("v=0\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Parse(text)
		if err != nil {
			return
		}
		a := Answer{Version: 1, Ufrag: "u", Password: "p", HashFunction: "sha-256", HashValue: "AA"}
		for i := range o.Sections {
			s := AnswerSection{Offer: &o.Sections[i]}
			if o.Sections[i].Usable && len(o.Sections[i].Codecs) > 0 {
				s.Direction, s.Codecs, s.RIDs = RecvOnly, o.Sections[i].Codecs, o.Sections[i].RIDs
			}
			a.Sections = append(a.Sections, s)
		}
		answer := a.String()
		if got, want := strings.Count(answer, "\nm="), len(o.Sections); got != want {
			t.Errorf("%d m-lines answered of %d", got, want)
		}
	})
}
