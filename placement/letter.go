package placement

import (
	"encoding/json"
	"errors"
	"fmt"
)

// letter is a question to one node, or the answer to one. It travels in a packet of its own, as pulses do, or over a connection, but
// to that node alone. Its first byte is none that JSON begins with: a release that does not know it takes it for a broken pulse and
// drops it.
type letter struct {
	From   string `json:"f"`           // who wrote it
	Number uint64 `json:"n"`           // of the question; who asks chooses it at random
	Answer bool   `json:"a,omitempty"` // else it is the question
	Failed string `json:"e,omitempty"` // why there is no answer
	Body   []byte `json:"b,omitempty"`

	by carriage // the first byte of all
}

// carriage is how a letter travels.
type carriage byte

const (
	byPacket carriage = 0x01
	byStream carriage = 0x02
)

const (
	maxLetter = 1024    // bytes of a letter in a packet: it fits into one everywhere, whatever encryption adds
	maxParcel = 4 << 20 // bytes of a letter over a connection
)

var (
	errLetterSize = fmt.Errorf("placement: a question or an answer of more than %d bytes, or of %d over a connection", maxLetter, maxParcel)
	errLetter     = errors.New("placement: a letter without a sender or a number")
)

// isLetter tells a letter from a pulse.
func isLetter(data []byte) bool { return len(data) > 0 && carriage(data[0]).most() > 0 }

// most is how many bytes a letter may have; 0 where there are no such letters.
func (c carriage) most() int {
	switch c {
	case byPacket:
		return maxLetter
	case byStream:
		return maxParcel
	}
	return 0
}

func (l letter) encode() ([]byte, error) {
	data, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("placement: letter: %w", err)
	}
	if len(data) >= l.by.most() {
		return nil, errLetterSize
	}
	return append([]byte{byte(l.by)}, data...), nil
}

// decodeLetter copies what it keeps of data.
func decodeLetter(data []byte) (letter, error) {
	if !isLetter(data) || len(data) > carriage(data[0]).most() {
		return letter{}, errLetterSize
	}
	l := letter{by: carriage(data[0])}
	if err := json.Unmarshal(data[1:], &l); err != nil {
		return letter{}, fmt.Errorf("placement: letter: %w", err)
	}
	if l.From == "" || l.Number == 0 {
		return letter{}, errLetter
	}
	return l, nil
}
