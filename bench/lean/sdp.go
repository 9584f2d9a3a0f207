package lean

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/parley-sfu/parley/internal/udp"
)

// ErrNoUDP refuses a node that offers no host candidate over UDP: lean viewers go no other way.
var ErrNoUDP = errors.New("the node offers no host candidate over UDP, and lean viewers go no other way")

// The payload types of an offer. Those of retransmissions (RFC 4588) are the odd ones above the even ones of what they repair.
const (
	opus, vp8, h264 = 110, 96, 102
	repairs         = 1
)

const (
	mimeOpus = "audio/opus"
	mimeVP8  = "video/VP8"
	mimeH264 = "video/H264"
)

// mimeOf names the codec of a payload type, also where it is that of retransmissions.
func mimeOf(payloadType uint8) string {
	switch payloadType &^ repairs {
	case vp8:
		return mimeVP8
	case h264:
		return mimeH264
	default:
		return mimeOpus
	}
}

func payloadOf(mime string) (payloadType uint8, ok bool) {
	for _, known := range []uint8{vp8, h264} {
		if strings.EqualFold(mime, mimeOf(known)) {
			return known, true
		}
	}
	return 0, false
}

// offer writes one with receiving m-lines only: first those for sound, mids counted from 0. Its header extensions are those
// that a whole client asks for and a node sends, so that packets have the same size.
func offer(ufrag, password string, certificate fingerprint, audio, video int, codecs []string) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE")
	for mid := range audio + video {
		fmt.Fprintf(&b, " %d", mid)
	}
	fmt.Fprintf(&b, "\r\na=fingerprint:%s\r\n", certificate)
	for mid := range audio + video {
		kind, formats := "audio", []uint8{opus}
		if mid >= audio {
			kind, formats = "video", payloadTypes(codecs)
		}
		fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF", kind)
		for _, f := range formats {
			fmt.Fprintf(&b, " %d", f)
		}
		fmt.Fprintf(&b, "\r\nc=IN IP4 0.0.0.0\r\na=mid:%d\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", mid, ufrag, password)
		b.WriteString("a=setup:actpass\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=recvonly\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n")
		if mid < audio {
			b.WriteString("a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n")
		}
		for _, f := range formats {
			writeFormat(&b, f)
		}
	}
	return b.String()
}

// payloadTypes are those of pictures' codecs, each with that of its retransmissions.
func payloadTypes(codecs []string) (all []uint8) {
	for _, mime := range codecs {
		if f, ok := payloadOf(mime); ok {
			all = append(all, f, f|repairs)
		}
	}
	return all
}

func writeFormat(b *strings.Builder, f uint8) {
	switch f {
	case opus:
		fmt.Fprintf(b, "a=rtpmap:%[1]d opus/48000/2\r\na=fmtp:%[1]d minptime=10;useinbandfec=1\r\n", f)
		return
	case vp8:
		fmt.Fprintf(b, "a=rtpmap:%d VP8/90000\r\n", f)
	case h264:
		fmt.Fprintf(b, "a=rtpmap:%[1]d H264/90000\r\na=fmtp:%[1]d level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n", f)
	default:
		fmt.Fprintf(b, "a=rtpmap:%[1]d rtx/90000\r\na=fmtp:%[1]d apt=%[2]d\r\n", f, f&^repairs)
		return
	}
	fmt.Fprintf(b, "a=rtcp-fb:%[1]d nack\r\na=rtcp-fb:%[1]d nack pli\r\na=rtcp-fb:%[1]d ccm fir\r\n", f)
}

// answer is what a viewer needs of the node's answer.
type answer struct {
	ufrag, password string
	certificate     fingerprint
	candidates      []udp.Addr // host, over UDP
	lines           []line
}

// line is one answered m-line.
type line struct {
	mid              string
	ssrc, repairSSRC uint32 // 0: none
}

const maxCandidates = 16 // that are tried

// parseAnswer reads an answer (RFC 8866, RFC 8839, RFC 5576). What it does not know it skips.
func parseAnswer(text string) (a answer, err error) {
	for row := range strings.Lines(text) {
		row = strings.TrimRight(row, "\r\n")
		if strings.HasPrefix(row, "m=") {
			a.lines = append(a.lines, line{})
			continue
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(row, "a="), ":")
		a.attribute(name, value)
	}
	switch {
	case a.ufrag == "" || len(a.password) < 22:
		return a, errors.New("answer: it has no ICE credentials")
	case a.certificate.value == "":
		return a, errors.New("answer: it has no fingerprint")
	case len(a.candidates) == 0:
		return a, ErrNoUDP
	}
	return a, nil
}

func (a *answer) attribute(name, value string) {
	var current line // attributes of the session are about none
	at := &current
	if len(a.lines) > 0 {
		at = &a.lines[len(a.lines)-1]
	}
	fields := strings.Fields(value)
	switch {
	case name == "ice-ufrag" && a.ufrag == "":
		a.ufrag = value
	case name == "ice-pwd" && a.password == "":
		a.password = value
	case name == "fingerprint" && len(fields) == 2 && a.certificate.value == "":
		a.certificate = fingerprint{fields[0], fields[1]}
	case name == "candidate":
		a.candidate(fields)
	case name == "mid":
		at.mid = value
	case name == "ssrc" && len(fields) > 0 && at.ssrc == 0:
		at.ssrc = number(fields[0])
	case name == "ssrc-group" && len(fields) == 3 && fields[0] == "FID":
		at.ssrc, at.repairSSRC = number(fields[1]), number(fields[2])
	}
}

// candidate takes "foundation component protocol priority address port typ host".
func (a *answer) candidate(fields []string) {
	if len(fields) < 8 || !strings.EqualFold(fields[2], "udp") || fields[7] != "host" || len(a.candidates) == maxCandidates {
		return
	}
	ip, err := netip.ParseAddr(fields[4])
	port, fault := strconv.ParseUint(fields[5], 10, 16)
	if err == nil && fault == nil && port > 0 {
		a.candidates = append(a.candidates, udp.AddrFrom(netip.AddrPortFrom(ip, uint16(port))))
	}
}

func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
