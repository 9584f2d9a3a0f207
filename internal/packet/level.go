package packet

// AudioLevel reads a client-to-mixer audio level extension (RFC 6464): level is the loudness in -dBov, 0 the loudest and
// 127 silence; voice is the sender's own opinion. ok is false when ext, as returned by Extension, has no value.
func AudioLevel(ext []byte) (level uint8, voice, ok bool) {
	if len(ext) == 0 {
		return 0, false, false
	}
	return ext[0] & 0x7F, ext[0]&0x80 != 0, true
}
