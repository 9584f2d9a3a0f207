package packet

import "encoding/binary"

const rtxHead = 2 // bytes of original sequence number in front of a retransmitted payload

// UnwrapRTX turns the retransmission p (RFC 4588 section 4) in place into the packet that was lost: with the sequence
// number it carries, the SSRC and payload type of the original stream, timestamp and extensions as they are. Nobody but
// the caller may hold p yet. A payload shorter than the original sequence number, as in RTX packets that only pad, is
// ErrShort and leaves p alone. Codec fields are not filled.
func UnwrapRTX(p *Packet, originalSSRC uint32, originalPT uint8) error {
	if p.PayloadLen < rtxHead {
		return ErrShort
	}
	seq := binary.BigEndian.Uint16(p.Buf[p.HeaderLen:])
	copy(p.Buf[rtxHead:], p.Buf[:p.HeaderLen]) // the header moves up over the number: shorter than the payload moving down
	p.Buf = p.Buf[rtxHead:]
	p.PayloadLen -= rtxHead
	p.Sequence, p.SSRC, p.PayloadType = seq, originalSSRC, originalPT&0x7F
	p.Buf[1] = p.Buf[1]&0x80 | p.PayloadType
	binary.BigEndian.PutUint16(p.Buf[2:], seq)
	binary.BigEndian.PutUint32(p.Buf[8:], originalSSRC)
	return nil
}

// AppendRTX appends the head of a retransmission's payload: the sequence number that the packet was first sent with. It
// goes between the RTX stream's own header (AppendHeader) and the payload as it was sent.
func AppendRTX(dst []byte, original uint16) []byte {
	return binary.BigEndian.AppendUint16(dst, original)
}
