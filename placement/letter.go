package placement

import (
	"encoding/json"
	"errors"
	"fmt"
)

// letter is a question to one node, or the answer to one. It travels in a packet of its own, as pulses do, but to that node
// alone. Its first byte is none that JSON begins with: a release that knows pulses only takes it for a broken one and drops it.
type letter struct {
	From   string `json:"f"`           // who wrote it
	Number uint64 `json:"n"`           // of the question; who asks chooses it at random
	Answer bool   `json:"a,omitempty"` // else it is the question
	Failed string `json:"e,omitempty"` // why there is no answer
	Body   []byte `json:"b,omitempty"`
}

const (
	letterTag = 0x01
	maxLetter = 1024 // bytes of one letter: it fits into a packet everywhere, whatever encryption adds
)

var (
	errLetterSize = fmt.Errorf("placement: a question or an answer of more than %d bytes", maxLetter)
	errLetter     = errors.New("placement: a letter without a sender or a number")
)

// isLetter tells a letter from a pulse.
func isLetter(data []byte) bool { return len(data) > 0 && data[0] == letterTag }

func (l letter) encode() ([]byte, error) {
	data, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("placement: letter: %w", err)
	}
	if len(data) >= maxLetter {
		return nil, errLetterSize
	}
	return append([]byte{letterTag}, data...), nil
}

// decodeLetter copies what it keeps of data.
func decodeLetter(data []byte) (letter, error) {
	if !isLetter(data) || len(data) > maxLetter {
		return letter{}, errLetterSize
	}
	var l letter
	if err := json.Unmarshal(data[1:], &l); err != nil {
		return letter{}, fmt.Errorf("placement: letter: %w", err)
	}
	if l.From == "" || l.Number == 0 {
		return letter{}, errLetter
	}
	return l, nil
}
