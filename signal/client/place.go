package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// place is a sender's place in one peer connection. The sender's lock guards its fields.
//
// It is a webrtc.TrackLocal of its own because it has to know the negotiated header extensions: pion leaves it to the
// application to mark simulcast packets with mid and rid (RFC 8852).
type place struct {
	*sender

	mid string
	out *binding // nil before the server's answer
}

// ID is the same for all layers of a publication.
func (p *place) ID() string { return p.id }

// StreamID groups what belongs together in a session description.
func (p *place) StreamID() string { return p.id }

// RID names the simulcast layer (RFC 8851).
func (p *place) RID() string { return p.rid }

// Kind is audio or video.
func (p *place) Kind() webrtc.RTPCodecType { return p.codec.kind }

// Bind takes the place.
func (p *place) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, params := range ctx.CodecParameters() {
		if params.MimeType != p.mime {
			continue
		}
		b := &binding{ssrc: uint32(ctx.SSRC()), payload: uint8(params.PayloadType), write: ctx.WriteStream()}
		for _, ext := range ctx.HeaderExtensions() {
			switch ext.URI {
			case sdp.SDESMidURI:
				b.midExt = uint8(ext.ID)
			case sdp.SDESRTPStreamIDURI:
				b.ridExt = uint8(ext.ID)
			case sdp.AudioLevelURI:
				b.levelExt = uint8(ext.ID)
			}
		}
		p.mu.Lock()
		if p.out == nil {
			p.places = append(slices.Clone(p.places), p)
		}
		p.out = b
		p.mu.Unlock()
		p.wantKeyframe.Store(true)
		return params, nil
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("%w: %s", webrtc.ErrUnsupportedCodec, p.mime)
}

// Unbind gives the place up.
func (p *place) Unbind(webrtc.TrackLocalContext) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = nil
	p.places = slices.DeleteFunc(slices.Clone(p.places), func(o *place) bool { return o == p })
	return nil
}

func (p *place) setMID(mid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mid = mid
}

// ssrc is the stream's name in the peer connection; 0 before there is one.
func (p *place) ssrc() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return 0
	}
	return p.out.ssrc
}

// sendLocked adds what the negotiation decided, writes and counts.
func (p *place) sendLocked(header rtp.Header, payload, level []byte) error {
	header.SSRC, header.PayloadType = p.out.ssrc, p.out.payload
	if err := p.markLocked(&header, level); err != nil {
		return fmt.Errorf("mark packet: %w", err)
	}
	if _, err := p.out.write.WriteRTP(&header, payload); err != nil {
		return fmt.Errorf("send packet: %w", err)
	}
	p.out.packets++
	p.out.octets += uint32(len(payload))
	return nil
}

// markLocked sets the header extensions: mid and rid on every packet, so that the server can tell streams apart from any
// packet on, and the loudness of audio.
func (p *place) markLocked(header *rtp.Header, level []byte) error {
	for _, ext := range []struct {
		id    uint8 // 0: not negotiated
		value []byte
	}{
		{p.out.midExt, []byte(p.mid)},
		{p.out.ridExt, []byte(p.rid)},
		{p.out.levelExt, level},
	} {
		if ext.id == 0 || len(ext.value) == 0 {
			continue
		}
		if err := header.SetExtension(ext.id, ext.value); err != nil {
			return err
		}
	}
	return nil
}

// report makes the sender report (RFC 3550, section 6.4.1) of a moment, and nil for a place where nothing was sent. The
// timestamp of a source's layer follows from the source's own clock, so it is exact; that of packets made elsewhere is
// carried on from the last one.
func (p *place) report(clock wallClock, now time.Time, cname string) []rtcp.Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil || p.out.packets == 0 {
		return nil
	}
	timestamp := p.base + p.ticks(now.Sub(p.epoch))
	if p.from == nil {
		timestamp = p.last.rtp + p.ticks(now.Sub(p.last.at))
	}
	return []rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: p.out.ssrc, NTPTime: clock.ntp(now), RTPTime: timestamp,
			PacketCount: p.out.packets, OctetCount: p.out.octets,
		},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: p.out.ssrc,
			Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: cname}},
		}}},
	}
}
