package grant

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ring is what a node owns: the key it signs with, and those it signed with whose tokens may still be about. It is a
// value: changing it means making another.
type ring struct {
	signing privateKey
	retired []publicKey
}

// fileForm is how a ring is written to the key file.
type fileForm struct {
	Signing json.RawMessage `json:"signing"` // a private JWK
	Retired []record        `json:"retired,omitempty"`
}

// openRing reads the ring of path, and makes it when there is none. No path: a ring of its own.
func openRing(path string) (ring, error) {
	if path != "" {
		r, err := readRing(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	key, err := generate()
	if err != nil || path == "" {
		return ring{signing: key}, err
	}
	err = writeRing(path, ring{signing: key}, os.Link) // link refuses to replace
	if errors.Is(err, fs.ErrExist) {
		return readRing(path) // another process was quicker
	}
	return ring{signing: key}, err
}

// readRing refuses a file that others than its owner can read or write.
func readRing(path string) (ring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return ring{}, fmt.Errorf("key file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return ring{}, fmt.Errorf("key file %s: others have access to it (mode %04o): make it 0600", path, mode)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ring{}, fmt.Errorf("key file: %w", err)
	}
	var form fileForm
	if err := json.Unmarshal(data, &form); err != nil {
		return ring{}, fmt.Errorf("key file %s: not JSON, or of another shape", path)
	}
	var r ring
	if r.signing, err = parsePrivate(form.Signing); err != nil {
		return ring{}, fmt.Errorf("key file %s: signing: %w", path, err)
	}
	for i, old := range form.Retired {
		key, err := parsePublic(old)
		if err != nil {
			return ring{}, fmt.Errorf("key file %s: retired %d: %w", path, i, err)
		}
		r.retired = append(r.retired, key)
	}
	return r, nil
}

// writeRing puts r at path by place (os.Link or os.Rename), whole or not at all, readable by the owner alone.
func writeRing(path string, r ring, place func(from, to string) error) error {
	form := fileForm{Signing: r.signing.json}
	for _, key := range r.retired {
		old, err := recordOf(key, key.expires)
		if err != nil {
			return fmt.Errorf("key file: %w", err)
		}
		form.Retired = append(form.Retired, old)
	}
	data, err := json.MarshalIndent(form, "", "  ")
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	temp, err := writeTemp(filepath.Dir(path), data)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	defer func() { _ = os.Remove(temp) }() // after a rename it is gone already
	if err := place(temp, path); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	return nil
}

// writeTemp writes data to a new file in dir, to the disk itself. Such files are made with mode 0600.
func writeTemp(dir string, data []byte) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// retire makes a ring that signs with next and keeps what it signed with until all tokens of it have expired.
func (r ring) retire(next privateKey, now, until time.Time) ring {
	old := r.signing.pub
	old.expires = until
	out := ring{signing: next, retired: []publicKey{old}}
	for _, key := range r.retired {
		if key.live(now) {
			out.retired = append(out.retired, key)
		}
	}
	return out
}
