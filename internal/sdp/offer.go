// Package sdp reads the offers that clients make (RFC 8866, RFC 8829) and writes the answers an SFU gives: which m-lines
// there are, which codecs and header extensions both ends know, and which SSRCs and stream ids belong to them. It decides
// nothing about tracks, rooms or addresses, and keeps no state.
//
// The SFU never offers. That makes this small: an answer mirrors its offer m-line by m-line.
package sdp

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Limits on what a stranger may offer.
const (
	MaxSize     = 100 << 10 // bytes; the largest offer of a browser with 25 slots is half of that
	MaxSections = 128       // m-lines
	maxRIDs     = 3
	maxCodecs   = 64 // payload types in one m-line
)

// mixedExtensions is the attribute by which both ends agree on header extensions of either form, which long elements take (RFC 8285 section 6).
const mixedExtensions = "extmap-allow-mixed"

// ErrTooBig and ErrTooMany refuse an offer before it is parsed.
var (
	ErrTooBig  = fmt.Errorf("the offer is larger than %d bytes", MaxSize)
	ErrTooMany = fmt.Errorf("the offer has more than %d m-lines", MaxSections)
)

// Direction is an m-line's direction, seen from the end that wrote it.
type Direction string

// The directions of RFC 8866 section 6.7.
const (
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// Sends reports whether the writer of the m-line sends on it.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives reports whether the writer of the m-line receives on it.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

// Offer is what matters of an offer.
type Offer struct {
	Ufrag, Password         string // ICE credentials
	HashFunction, HashValue string // of the certificate's fingerprint
	Sections                []Section
}

// Section is one m-line of an offer.
type Section struct {
	MID        string
	Kind       string // "audio", "video", "application"
	Protocol   string
	Usable     bool // bundled media that can be answered; everything else is rejected
	Direction  Direction
	Codecs     []Codec          // in the offerer's order, retransmission formats folded into those they repair
	Extensions map[string]uint8 // header extension ids by URI
	Mixed      bool             // elements of header extensions may take either form of RFC 8285
	RIDs       []string         // simulcast layers that the offerer sends, in its order
	SSRC       uint32           // of the first stream that the offerer sends; 0 when it declares none
	RTXSSRC    uint32           // of its retransmissions, likewise
	formats    []string         // as offered, for rejecting
}

// Codec is one payload format of an m-line.
type Codec struct {
	PayloadType uint8
	Name        string // lower case: "opus", "vp8", "h264"
	ClockRate   uint32
	Channels    int
	Parameters  string   // a=fmtp, as offered
	Feedback    []string // a=rtcp-fb, as offered
	RTX         uint8    // payload type of its retransmissions (RFC 4588); 0 when there is none
}

// Parse reads an offer. Errors say what is wrong in words that are safe to show to who sent it.
func Parse(text string) (*Offer, error) {
	if len(text) > MaxSize {
		return nil, ErrTooBig
	}
	if strings.Count(text, "\nm=") > MaxSections {
		return nil, ErrTooMany
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("the offer is not SDP: %w", err)
	}
	bundle := bundled(&d)
	o := &Offer{}
	o.credentials(d.Attributes)
	seen := map[string]bool{}
	_, mixed := d.Attribute(mixedExtensions)
	for _, m := range d.MediaDescriptions {
		s, err := parseSection(m)
		if err != nil {
			return nil, err
		}
		s.Mixed = s.Mixed || mixed
		if seen[s.MID] {
			return nil, fmt.Errorf("two m-lines have the mid %q", s.MID)
		}
		seen[s.MID] = true
		if slices.Contains(bundle, s.MID) {
			o.credentials(m.Attributes)
		} else {
			s.Usable = false
		}
		o.Sections = append(o.Sections, s)
	}
	return o, o.complete()
}

func (o *Offer) complete() error {
	switch {
	case len(o.Sections) == 0:
		return errors.New("the offer has no m-lines")
	case len(o.Ufrag) < 4 || len(o.Ufrag) > 256 || len(o.Password) < 22 || len(o.Password) > 256: // RFC 8839 section 5.4
		return errors.New("the offer has no valid ICE credentials in its bundle")
	case o.HashFunction == "":
		return errors.New("the offer has no certificate fingerprint in its bundle")
	}
	return nil
}

func bundled(d *sdp.SessionDescription) []string {
	for _, a := range d.Attributes {
		if mids, ok := strings.CutPrefix(a.Value, "BUNDLE"); ok && a.Key == "group" {
			return strings.Fields(mids)
		}
	}
	return nil
}

// credentials takes what is missing so far: the session's own attributes come first, then those of the bundle's m-lines.
func (o *Offer) credentials(attributes []sdp.Attribute) {
	for _, a := range attributes {
		switch {
		case a.Key == "ice-ufrag" && o.Ufrag == "":
			o.Ufrag = a.Value
		case a.Key == "ice-pwd" && o.Password == "":
			o.Password = a.Value
		case a.Key == "fingerprint" && o.HashFunction == "":
			o.HashFunction, o.HashValue, _ = strings.Cut(a.Value, " ")
		}
	}
}

func parseSection(m *sdp.MediaDescription) (Section, error) {
	s := Section{
		Kind: m.MediaName.Media, Protocol: strings.Join(m.MediaName.Protos, "/"), formats: m.MediaName.Formats,
		Direction: SendRecv, Extensions: map[string]uint8{},
	}
	var ok bool
	if s.MID, ok = m.Attribute("mid"); !ok || s.MID == "" || len(s.MID) > 64 {
		return s, errors.New("an m-line has no usable mid")
	}
	if len(s.formats) > maxCodecs {
		return s, fmt.Errorf("m-line %s has more than %d formats", s.MID, maxCodecs)
	}
	_, mux := m.Attribute("rtcp-mux")
	_, s.Mixed = m.Attribute(mixedExtensions)
	s.Usable = mux && (s.Kind == "audio" || s.Kind == "video") && s.Protocol == "UDP/TLS/RTP/SAVPF"
	for _, a := range m.Attributes {
		s.attribute(a)
	}
	setup, _ := m.Attribute("setup")
	if s.Usable && setup == "passive" {
		return s, errors.New("the offer must let the server be the passive end of DTLS")
	}
	s.Codecs = parseCodecs(m)
	return s, nil
}

func (s *Section) attribute(a sdp.Attribute) {
	switch a.Key {
	case string(SendRecv), string(SendOnly), string(RecvOnly), string(Inactive):
		s.Direction = Direction(a.Key)
	case "extmap":
		id, uri, _ := strings.Cut(a.Value, " ")
		id, _, _ = strings.Cut(id, "/")
		if n, err := strconv.ParseUint(id, 10, 8); err == nil && n > 0 {
			uri, _, _ = strings.Cut(uri, " ")
			s.Extensions[uri] = uint8(n)
		}
	case "rid":
		if f := strings.Fields(a.Value); len(f) >= 2 && f[1] == "send" && len(s.RIDs) < maxRIDs && len(f[0]) <= 16 {
			s.RIDs = append(s.RIDs, f[0])
		}
	case "ssrc":
		id, _, _ := strings.Cut(a.Value, " ")
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && s.SSRC == 0 {
			s.SSRC = uint32(n)
		}
	case "ssrc-group":
		if f := strings.Fields(a.Value); len(f) == 3 && f[0] == "FID" && s.RTXSSRC == 0 {
			media, _ := strconv.ParseUint(f[1], 10, 32)
			repair, _ := strconv.ParseUint(f[2], 10, 32)
			s.SSRC, s.RTXSSRC = uint32(media), uint32(repair)
		}
	}
}

// parseCodecs gathers a=rtpmap, a=fmtp and a=rtcp-fb by payload type.
func parseCodecs(m *sdp.MediaDescription) []Codec {
	byType := map[uint8]*Codec{}
	var order []uint8
	for _, f := range m.MediaName.Formats {
		if pt, err := strconv.ParseUint(f, 10, 7); err == nil {
			byType[uint8(pt)] = &Codec{PayloadType: uint8(pt)}
			order = append(order, uint8(pt))
		}
	}
	var everywhere []string
	for _, a := range m.Attributes {
		format, value, _ := strings.Cut(a.Value, " ")
		if a.Key == "rtcp-fb" && format == "*" {
			everywhere = append(everywhere, value)
			continue
		}
		pt, err := strconv.ParseUint(format, 10, 7)
		c := byType[uint8(pt)]
		if err != nil || c == nil {
			continue
		}
		switch a.Key {
		case "rtpmap":
			c.mapping(value)
		case "fmtp":
			c.Parameters = value
		case "rtcp-fb":
			c.Feedback = append(c.Feedback, value)
		}
	}
	return fold(order, byType, everywhere)
}

func (c *Codec) mapping(value string) {
	parts := strings.Split(value, "/")
	c.Name = strings.ToLower(parts[0])
	if len(parts) > 1 {
		rate, _ := strconv.ParseUint(parts[1], 10, 32)
		c.ClockRate = uint32(rate)
	}
	if len(parts) > 2 {
		c.Channels, _ = strconv.Atoi(parts[2])
	}
}

// fold attaches retransmission formats to the formats they repair.
func fold(order []uint8, byType map[uint8]*Codec, everywhere []string) []Codec {
	for _, pt := range order {
		if c := byType[pt]; c.Name == "rtx" {
			apt, err := strconv.ParseUint(c.Parameter("apt"), 10, 7)
			if primary := byType[uint8(apt)]; err == nil && primary != nil && primary.RTX == 0 {
				primary.RTX = pt
			}
		}
	}
	var codecs []Codec
	for _, pt := range order {
		if c := byType[pt]; c.Name != "rtx" && c.Name != "" {
			c.Feedback = append(c.Feedback, everywhere...)
			codecs = append(codecs, *c)
		}
	}
	return codecs
}

// Parameter returns the value of one a=fmtp parameter, or "".
func (c Codec) Parameter(name string) string {
	for p := range strings.SplitSeq(c.Parameters, ";") {
		if k, v, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}
