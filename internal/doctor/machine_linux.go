package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func openFiles() finding {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return skipped("because the kernel does not say")
	}
	f := fine("up to %d", limit.Max)
	if limit.Max < fewFiles {
		f = doubtful(fmt.Sprintf("file limit: %d files may be open, and every participant takes one", limit.Max), "Raise it: LimitNOFILE of the service, or ulimit -n.")
	}
	f.figures = map[string]float64{"files": float64(limit.Max)}
	return f
}

// kernelBuffers compares what the kernel grants a socket at most with what is asked of it.
func kernelBuffers(asked int) finding {
	var small []string
	for _, name := range []string{"rmem_max", "wmem_max"} {
		body, err := os.ReadFile("/proc/sys/net/core/" + name)
		if err != nil {
			return skipped("because the kernel does not say")
		}
		if most, err := strconv.Atoi(strings.TrimSpace(string(body))); err == nil && most < asked {
			small = append(small, fmt.Sprintf("net.core.%s is %d", name, most))
		}
	}
	if len(small) > 0 {
		return doubtful("kernel buffers are small: "+strings.Join(small, ", "),
			fmt.Sprintf("Bursts of media are dropped: sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d", asked, asked))
	}
	return fine("as large as asked for")
}

// freeSpace is what is left for the node in the file system of a directory.
func freeSpace(dir string) (bytes uint64, known bool) {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil {
		return 0, false
	}
	return fs.Bavail * uint64(fs.Bsize), true
}

// systemClock asks the kernel whether somebody keeps its clock right (adjtimex(2)).
func systemClock() finding {
	const unsynchronised = 5 // TIME_ERROR
	var state syscall.Timex
	got, err := syscall.Adjtimex(&state)
	if err != nil {
		return skipped("because the kernel does not say")
	}
	if got == unsynchronised {
		return doubtful("clock: nobody keeps this machine's clock right", "Run NTP: tokens are refused when clocks are a minute apart.")
	}
	return fine("it is kept right, to within %d ms", state.Maxerror/1000)
}

// owner names the program that has a port, such as "nginx (pid 7)"; "" where that cannot be seen.
func owner(protocol, port string) string {
	inodes := inodesOf(protocol, port)
	files, err := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	if err != nil || len(inodes) == 0 {
		return ""
	}
	for _, file := range files {
		link, err := os.Readlink(file)
		inode, is := strings.CutPrefix(link, "socket:[")
		if err != nil || !is || !slices.Contains(inodes, strings.TrimSuffix(inode, "]")) {
			continue
		}
		process := filepath.Dir(filepath.Dir(file))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), filepath.Base(process))
	}
	return ""
}

// inodesOf finds the sockets that are bound to a port and, of TCP, listen (proc(5), /proc/net/tcp).
func inodesOf(protocol, port string) (inodes []string) {
	const listening = "0A"
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil
	}
	suffix := fmt.Sprintf(":%04X", number)
	for _, table := range []string{protocol, protocol + "6"} {
		body, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(body)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && (protocol == "udp" || fields[3] == listening) {
				inodes = append(inodes, fields[9])
			}
		}
	}
	return inodes
}
