package path

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// A Machine is what figures depend on, without saying whose it is.
type Machine struct {
	CPU    string `json:"cpu"` // its model
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// ThisMachine describes the machine of this process.
func ThisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version()}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if model := modelIn(string(info)); model != "" {
			m.CPU = model
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = numbersOf(strings.TrimSpace(string(release)))
	}
	return m
}

// modelIn finds the model's name in the text of /proc/cpuinfo.
func modelIn(info string) string {
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// numbersOf keeps the version of a kernel's release, without what its builder has added.
func numbersOf(release string) string {
	end := strings.IndexFunc(release, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		return release
	}
	return strings.TrimRight(release[:end], ".")
}

// like says whether figures of both machines may be expected to agree: ratios do, also between kernels.
func (m Machine) like(o Machine) bool { return m.CPU == o.CPU && m.Cores == o.Cores }

func (m Machine) String() string {
	return fmt.Sprintf("%d × %s, Linux %s, %s", m.Cores, m.CPU, m.Kernel, m.Go)
}
