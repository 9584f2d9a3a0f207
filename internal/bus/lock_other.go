//go:build !unix

package bus

import "os"

// lockFile opens path. Without flock, keeping other processes out is left to the operator.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
