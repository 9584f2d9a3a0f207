package lab_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// maxLines is the wall; aim for 400.
const maxLines = 600

func TestFilesAreShortEnoughToRead(t *testing.T) {
	walkGo(t, func(file, abs string) {
		body, err := os.ReadFile(abs)
		if err != nil {
			t.Error(err)
		}
		if lines := bytes.Count(body, []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: split it by idea", file, lines, maxLines)
		}
	})
}

// The make targets that the README promises are there, and the other way round.
func TestReadmeAndMakefileAgree(t *testing.T) {
	root := lab.Root(t)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{
		"run", "test", "check", "fuzz", "bench", "web", "build", "help", "browsers", "layers", "timings", "loss", "hostile", "durable", "regions", "lab", "lab-full",
	} {
		if !strings.Contains(string(makefile), "\n"+target+":") {
			t.Errorf("the Makefile lacks the target %s", target)
		}
		if !strings.Contains(string(readme), "make "+target) {
			t.Errorf("README.md does not mention make %s", target)
		}
	}
}
