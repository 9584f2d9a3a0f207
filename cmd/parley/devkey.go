package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parley-sfu/parley/api"
)

// devKey is the API key that `parley dev` accepts and `parley token --dev` signs with: made once for each user of the
// machine, and readable to that user alone.
func devKey() (api.APIKey, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return api.APIKey{}, fmt.Errorf("dev key: %w", err)
	}
	return keyFile(filepath.Join(dir, "parley", "dev-key.json"))
}

// keyFile reads the key in the file, and makes it where there is none. Of two processes that make it at once, one wins
// and both return the winner's.
func keyFile(path string) (api.APIKey, error) {
	if err := makeKeyFile(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return api.APIKey{}, fmt.Errorf("dev key: %w", err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return api.APIKey{}, fmt.Errorf("dev key: %w", err)
	}
	var key api.APIKey
	if err := json.Unmarshal(body, &key); err != nil || key.ID == "" || key.Secret == "" {
		return api.APIKey{}, fmt.Errorf("dev key: %s holds no key: remove it to have a new one made", path)
	}
	return key, nil
}

// makeKeyFile puts a new key at path in one step: others see no file or a whole one.
func makeKeyFile(path string) error {
	if _, err := os.Stat(path); err == nil {
		return fs.ErrExist
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "key-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // a second name of the key that stays is no harm
	err = json.NewEncoder(tmp).Encode(newAPIKey("dev"))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path)
}
