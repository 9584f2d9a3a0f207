package turn

import (
	"encoding/binary"
	"net"

	"github.com/parley-sfu/parley/internal/udp"
)

// WriteTo implements net.PacketConn: pion answers the request that it was given last. The answer goes out with what the client
// needs to believe it, and with the right error; a success takes effect here first.
func (d *door) WriteTo(b []byte, _ net.Addr) (int, error) {
	r := d.current
	if r == nil || len(b) < headerSize {
		return len(b), nil
	}
	switch {
	case binary.BigEndian.Uint16(b)&classMask == classSuccess:
		d.succeed(r, b)
	default:
		d.fail(r, b)
	}
	return len(b), nil
}

// succeed passes a success on.
func (d *door) succeed(r *request, b []byte) {
	now := d.s.now()
	switch m := &r.msg; {
	case m.method == methodBinding:
	case r.session == nil: // ended meanwhile
	case m.method == methodAllocate || m.method == methodRefresh:
		r.session.extend(now.Add(r.lifetime))
	case m.method == methodCreatePermission:
		r.session.permit(m.peers, 0, now)
	case m.method == methodChannelBind:
		r.session.permit(m.peers, m.channel, now)
	}
	w := newWriter(nil, r.msg.method, classSuccess, r.msg.transaction)
	eachAttribute(b, func(attr uint16, v []byte) {
		switch attr {
		case attrIntegrity, attrFingerprint:
		case attrLifetime:
			w.attr32(attrLifetime, uint32(r.lifetime.Seconds()))
		default:
			w.attr(attr, v)
		}
	})
	d.reply(r, w)
}

// fail passes an error on.
func (d *door) fail(r *request, b []byte) {
	code := codeBadRequest // where pion gives none
	eachAttribute(b, func(attr uint16, v []byte) {
		if attr == attrErrorCode && len(v) >= 4 {
			code = int(v[2]&7)*100 + int(v[3])
		}
	})
	challenge := code == codeStaleNonce || code == codeUnauthorized && r.key == nil
	if r.refusal != 0 && !challenge {
		code = r.refusal
	}
	w := newWriter(nil, r.msg.method, classError, r.msg.transaction)
	w.attr(attrErrorCode, []byte{0, 0, byte(code / 100), byte(code % 100)})
	if challenge {
		eachAttribute(b, func(attr uint16, v []byte) {
			if attr == attrNonce || attr == attrRealm {
				w.attr(attr, v)
			}
		})
	}
	d.unknown(r, w, code)
	d.count(r, code)
	if challenge {
		r.answered = true
		d.send(r, w.bytes())
		return
	}
	d.reply(r, w)
}

// refuse answers in pion's place.
func (d *door) refuse(r *request, code int) {
	w := newWriter(nil, r.msg.method, classError, r.msg.transaction)
	w.attr(attrErrorCode, []byte{0, 0, byte(code / 100), byte(code % 100)})
	d.count(r, code)
	d.reply(r, w)
}

// unknown names the attributes that were not understood (RFC 8489 section 14.13).
func (d *door) unknown(r *request, w *writer, code int) {
	if code != codeUnknownAttribute {
		return
	}
	attrs := r.msg.unknown
	if len(attrs) == 0 {
		attrs = []uint16{attrDontFragment}
	}
	var v []byte
	for _, attr := range attrs {
		v = binary.BigEndian.AppendUint16(v, attr)
	}
	w.attr(attrUnknown, v)
}

// count notes a refusal that nothing before it has noted.
func (d *door) count(r *request, code int) {
	switch {
	case code == codeQuota:
		d.s.metrics.refused(reasonQuota)
	case code == codeForbidden || r.key == nil: // counted when it was judged
	default:
		d.s.metrics.refused(reasonRequest)
	}
}

// reply sends an answer, signed if the request was.
func (d *door) reply(r *request, w *writer) {
	r.answered = true
	if r.key != nil {
		w.sign(r.key)
	}
	d.send(r, w.bytes())
}

func (d *door) send(r *request, b []byte) {
	if r.stream != nil {
		r.stream.write(b)
		return
	}
	_, _ = d.conn.WriteTo(b, udp.AddrFrom(r.from)) // it asks again
}

const attrFingerprint = 0x8028

// eachAttribute calls f for each attribute of a well-formed message.
func eachAttribute(b []byte, f func(attr uint16, v []byte)) {
	for at := headerSize; at+attrHeader <= len(b); {
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		if at+attrHeader+size > len(b) {
			return
		}
		f(binary.BigEndian.Uint16(b[at:]), b[at+attrHeader:at+attrHeader+size])
		at += attrHeader + (size+3)&^3
	}
}
