package system_test

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"
)

// bomb is a compressed message of zeros: one megabyte that inflates to a gigabyte, the most that deflate can do.
func bomb(tb testing.TB) []byte {
	tb.Helper()
	const block, blocks = 16 << 20, 64
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		tb.Fatal(err)
	}
	zeros := make([]byte, block)
	for range 2 { // the second block, which refers to the first, can be repeated as it is
		if _, err := w.Write(zeros); err != nil {
			tb.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			tb.Fatal(err)
		}
	}
	second := out.Bytes()[out.Len()/2:]
	return append(out.Bytes(), bytes.Repeat(second, blocks-2)...)
}

// inflate undoes one compressed message, up to a megabyte of it.
func inflate(compressed []byte) []byte {
	tail := []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff} // RFC 7692 section 7.2.2, and the end of the stream
	r := flate.NewReader(io.MultiReader(bytes.NewReader(compressed), bytes.NewReader(tail)))
	plain, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil
	}
	return plain
}

func TestBombIsReal(t *testing.T) {
	b := bomb(t)
	n, err := io.Copy(io.Discard, io.LimitReader(flate.NewReader(bytes.NewReader(b)), 1<<30))
	if n != 1<<30 || len(b) > 2<<20 {
		t.Errorf("%d bytes inflate to %d, %v", len(b), n, err)
	}
}
