package node

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/sdp"
)

// What a stock client offers as Opus these tests offer as RED, and Opus under another number.
const (
	offersOpus = "a=rtpmap:111 opus/48000/2\r\n"
	offersRED  = "a=rtpmap:111 red/48000/2\r\na=fmtp:111 112/112\r\na=rtpmap:112 opus/48000/2\r\n"
)

// doubly offers RED, and plainly turns the answer into one about Opus again.
func doubly(offer string) string {
	offer = strings.ReplaceAll(offer, "SAVPF 111 ", "SAVPF 111 112 ")
	offer = strings.ReplaceAll(offer, "a=fmtp:111 minptime=10;useinbandfec=1\r\n", "")
	return strings.ReplaceAll(offer, offersOpus, offersRED)
}

func plainly(answer string) string {
	answer = strings.ReplaceAll(answer, "SAVPF 111 112", "SAVPF 111")
	var kept []string
	for line := range strings.Lines(strings.ReplaceAll(answer, "red/48000/2", "opus/48000/2")) {
		if !strings.Contains(line, ":112 ") && !strings.Contains(line, "fmtp:111") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// spoken is what a packet of a number says.
func spoken(n uint16) []byte { return binary.BigEndian.AppendUint16([]byte("voice"), n) }

// twice is a packet's payload in RED, behind those of some packets before it, the oldest first.
func twice(n uint16, before ...uint16) (payload []byte) {
	for _, back := range before {
		offset := uint32(back) * 960
		payload = append(payload, 0x80|112, byte(offset>>6), byte(offset<<2), byte(len(spoken(0))))
	}
	payload = append(payload, 112)
	for _, back := range before {
		payload = append(payload, spoken(n-back)...)
	}
	return append(payload, spoken(n)...)
}

// heardDoubly brings together a publisher whose voice is sent as RED and a viewer who hears it as Opus. Write sends a packet under a sequence
// number, with the time of the voice's packet of another one.
func heardDoubly(t *testing.T) (bob *client, write func(seq, of uint16, payload []byte)) {
	t.Helper()
	n := startNode(t)
	alice := &talker{client: join(t, n, "pt_alice")}
	track := alice.speak()
	alice.exchange(doubly, plainly)
	bob = join(t, n, "pt_bob")
	bob.hears(1)
	bob.connect()
	bob.events.until(t, "bob's slot is alice's", func() bool {
		return len(bob.events.slots) == 1 && bob.events.slots[0].ParticipantID == "pt_alice"
	})
	eventually(t, "packets come through", func() bool {
		return alice.pc.ConnectionState() == webrtc.PeerConnectionStateConnected && bob.peer.transport.Ready()
	})
	return bob, func(seq, of uint16, payload []byte) {
		t.Helper()
		p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(of) * 960}, Payload: payload}
		if err := track.WriteRTP(p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRedundantVoice: of a voice that comes in RED viewers get plain Opus, in order, and what was lost on the way to the node with it, under
// the numbers and timestamps that it had.
func TestRedundantVoice(t *testing.T) {
	bob, write := heardDoubly(t)
	send := func(seq uint16, before ...uint16) { write(seq, seq, twice(seq, before...)) }
	for seq := uint16(1); seq <= 40; seq++ {
		switch {
		case seq%5 == 0: // lost
		case seq == 31, seq == 32: // lost together
		case seq < 20:
			send(seq, 1)
		default:
			send(seq, 4, 3, 2, 1)
		}
	}
	send(41) // nothing repeated: 40 stays lost
	first := bob.next()
	from := binary.BigEndian.Uint16(first.Payload[5:])
	want := slices.DeleteFunc(series(from+1, 41), func(n uint16) bool { return n == 40 })
	for _, n := range want {
		p := bob.next()
		if !bytes.Equal(p.Payload, spoken(n)) || p.SequenceNumber-first.SequenceNumber != n-from || p.Timestamp-first.Timestamp != uint32(n-from)*960 {
			t.Fatalf("%d came as %v", n, p)
		}
	}
	if from > 2 {
		t.Errorf("the first that came was %d", from)
	}
}

// TestRedundantPadding: padding among RED packets, with which browsers probe, is no loss to viewers, and nothing that came is taken for what a
// number of padding stood for.
func TestRedundantPadding(t *testing.T) {
	bob, write := heardDoubly(t)
	seq := uint16(0)
	const most = 30
	for of := uint16(1); of <= most; of++ {
		seq++
		write(seq, of, twice(of, 1))
		for i := range of % 3 {
			if seq++; i == 0 || of%2 == 0 { // the other is lost
				write(seq, of, nil)
			}
		}
	}
	var heard []uint16
	for len(heard) == 0 || heard[len(heard)-1] != most {
		p := bob.next()
		of := binary.BigEndian.Uint16(p.Payload[5:])
		if !bytes.Equal(p.Payload, spoken(of)) {
			t.Fatalf("%d came as %v", of, p)
		}
		heard = append(heard, of)
	}
	if want := series(heard[0], most); !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

func series(from, to uint16) (all []uint16) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

// TestRedundantOffers: RED is taken first where it repeats the Opus that is taken, and nowhere else.
func TestRedundantOffers(t *testing.T) {
	opus := sdp.Codec{PayloadType: 111, Name: "opus", ClockRate: 48000, Channels: 2}
	for name, tc := range map[string]struct {
		red  sdp.Codec
		want []uint8
	}{
		"of the Opus":       {sdp.Codec{PayloadType: 63, Name: "red", Parameters: "111/111"}, []uint8{63, 111}},
		"of something else": {sdp.Codec{PayloadType: 63, Name: "red", Parameters: "9/9"}, []uint8{111}},
		"of two codecs":     {sdp.Codec{PayloadType: 63, Name: "red", Parameters: "111/9"}, []uint8{111}},
		"of what it is":     {sdp.Codec{PayloadType: 63, Name: "red", Parameters: "63/63"}, []uint8{111}},
		"none":              {sdp.Codec{PayloadType: 9, Name: "g722"}, []uint8{111}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sdp.Section{Kind: "audio", Codecs: []sdp.Codec{opus, tc.red}}
			var got []uint8
			for _, f := range redundant(s, accept(s)) {
				got = append(got, f.PayloadType)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("accepted %v, want %v", got, tc.want)
			}
		})
	}
}
