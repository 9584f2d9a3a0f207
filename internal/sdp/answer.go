package sdp

import (
	"fmt"
	"slices"
	"strings"
)

// Answer is what an SFU says to an Offer.
type Answer struct {
	Version                 uint64 // grows with every answer of a session (RFC 8866 section 5.2)
	Ufrag, Password         string
	HashFunction, HashValue string
	Candidates              []string // values of a=candidate
	Sections                []AnswerSection
}

// AnswerSection answers the m-line at the same place in the offer.
type AnswerSection struct {
	Offer      *Section
	Direction  Direction // seen from the SFU; empty rejects the m-line
	Codecs     []Codec   // accepted, a subset of the offered ones
	Extensions []string  // URIs accepted, a subset of the offered ones
	Mixed      bool      // elements of them may take either form, if the offer says so too
	RIDs       []string  // simulcast layers that the SFU will receive

	// What the SFU sends, when Direction sends.
	SSRC, RTXSSRC             uint32
	CNAME, StreamID, TrackTag string
}

// String writes the answer as SDP. The SFU is the passive end of DTLS and says all its candidates at once.
func (a Answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 1 %d IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", a.Version)
	var mids []string
	for _, s := range a.Sections {
		if s.Direction != "" {
			mids = append(mids, s.Offer.MID)
		}
	}
	fmt.Fprintf(&b, "a=group:BUNDLE %s\r\na=msid-semantic: WMS *\r\n", strings.Join(mids, " "))
	const usual = 1 << 10 // bytes of a section
	b.Grow(usual * len(a.Sections))
	first := true
	for _, s := range a.Sections {
		if s.Direction == "" {
			s.reject(&b)
			continue
		}
		s.write(&b, &a, first)
		first = false
	}
	return b.String()
}

func (s *AnswerSection) reject(b *strings.Builder) {
	fmt.Fprintf(b, "m=%s 0 %s %s\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:%s\r\n",
		s.Offer.Kind, s.Offer.Protocol, strings.Join(s.Offer.formats, " "), s.Offer.MID)
}

func (s *AnswerSection) write(b *strings.Builder, a *Answer, first bool) {
	fmt.Fprintf(b, "m=%s 9 %s", s.Offer.Kind, s.Offer.Protocol)
	for _, c := range s.Codecs {
		fmt.Fprintf(b, " %d", c.PayloadType)
		if c.RTX != 0 {
			fmt.Fprintf(b, " %d", c.RTX)
		}
	}
	fmt.Fprintf(b, "\r\nc=IN IP4 0.0.0.0\r\na=mid:%s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", s.Offer.MID, a.Ufrag, a.Password)
	fmt.Fprintf(b, "a=fingerprint:%s %s\r\na=setup:passive\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=%s\r\n", a.HashFunction, a.HashValue, s.Direction)
	if s.Mixed && s.Offer.Mixed {
		b.WriteString("a=" + mixedExtensions + "\r\n")
	}
	for _, uri := range s.Extensions {
		fmt.Fprintf(b, "a=extmap:%d %s\r\n", s.Offer.Extensions[uri], uri)
	}
	for _, c := range s.Codecs {
		c.write(b)
	}
	s.streams(b)
	if !first {
		return
	}
	for _, c := range a.Candidates {
		fmt.Fprintf(b, "a=candidate:%s\r\n", c)
	}
	b.WriteString("a=end-of-candidates\r\n")
}

func (c Codec) write(b *strings.Builder) {
	fmt.Fprintf(b, "a=rtpmap:%d %s/%d", c.PayloadType, spelling(c.Name), c.ClockRate)
	if c.Channels > 1 {
		fmt.Fprintf(b, "/%d", c.Channels)
	}
	b.WriteString("\r\n")
	if c.Parameters != "" {
		fmt.Fprintf(b, "a=fmtp:%d %s\r\n", c.PayloadType, c.Parameters)
	}
	for _, f := range c.Feedback {
		fmt.Fprintf(b, "a=rtcp-fb:%d %s\r\n", c.PayloadType, f)
	}
	if c.RTX != 0 {
		fmt.Fprintf(b, "a=rtpmap:%d rtx/%d\r\na=fmtp:%d apt=%d\r\n", c.RTX, c.ClockRate, c.RTX, c.PayloadType)
	}
}

// spelling is how the registration of a codec spells its name, which some clients insist on.
func spelling(name string) string {
	switch name {
	case "vp8", "vp9", "av1", "h264":
		return strings.ToUpper(name)
	}
	return name
}

// streams says what is sent and received on the m-line.
func (s *AnswerSection) streams(b *strings.Builder) {
	if len(s.RIDs) > 0 {
		for _, rid := range s.RIDs {
			fmt.Fprintf(b, "a=rid:%s recv\r\n", rid)
		}
		fmt.Fprintf(b, "a=simulcast:recv %s\r\n", strings.Join(s.RIDs, ";"))
	}
	if !s.Direction.Sends() {
		return
	}
	fmt.Fprintf(b, "a=msid:%s %s\r\n", s.StreamID, s.TrackTag)
	if s.RTXSSRC != 0 {
		fmt.Fprintf(b, "a=ssrc-group:FID %d %d\r\n", s.SSRC, s.RTXSSRC)
	}
	for _, ssrc := range []uint32{s.SSRC, s.RTXSSRC} {
		if ssrc != 0 {
			fmt.Fprintf(b, "a=ssrc:%d cname:%s\r\n", ssrc, s.CNAME)
		}
	}
}

// Common returns the URIs of want that the m-line offers, in want's order.
func (s *Section) Common(want ...string) []string {
	return slices.DeleteFunc(slices.Clone(want), func(uri string) bool { return s.Extensions[uri] == 0 })
}
