package doctor

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	machineTime = 5 * time.Second
	fewFiles    = 4096
	littleSpace = 1 << 30
	noSpace     = 100 << 20
)

// Port is one that the node listens on.
type Port struct {
	Protocol string // tcp, udp
	Address  string
	Key      string // of the configuration
}

// Probe is something that whoever asks knows how to reach.
type Probe struct {
	ID, Name string
	Ask      func(context.Context) error
	Hint     string // what to do about an error
}

// Machine is what is looked at on a server's own machine.
type Machine struct {
	Ports        []Port
	DataDir      string
	Certificates []string // PEM files
	Media        string   // where media listens
	Advertised   []string // addresses that clients are told; none: those of the machine
	Buffers      int      // bytes that are asked of the kernel for the media socket
	NATS         []string // URLs; none: it is in the node's process
	Probes       []Probe
	Tell         func(Check) // called after each check; may be nil
}

// Inspect asks everything that needs the machine itself. It changes nothing.
func Inspect(ctx context.Context, m Machine) Report {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	x := newExamination("", m.Tell)
	for _, s := range m.steps() {
		x.run(ctx, s)
	}
	verdict := "This machine is well."
	for _, check := range x.report.Checks {
		if check.State == Fail {
			verdict = "This machine is not well: " + check.Cause + "."
			break
		}
	}
	return x.finish(verdict)
}

func (m Machine) steps() []step {
	var steps []step
	add := func(id, plane, name string, ask func(context.Context) finding) {
		steps = append(steps, step{id: id, plane: plane, name: name, limit: machineTime, ask: ask})
	}
	for _, p := range m.Ports {
		add("machine.port."+p.Key+"."+p.Protocol, "machine", "port "+p.Protocol+" "+portOf(p.Address), p.free)
	}
	add("machine.files", "machine", "open files", func(context.Context) finding { return openFiles() })
	add("machine.buffers", "machine", "kernel buffers", func(context.Context) finding { return kernelBuffers(m.Buffers) })
	add("machine.addresses", "machine", "addresses", func(context.Context) finding { return m.addresses() })
	add("machine.disk", "machine", "disk", func(context.Context) finding { return disk(m.DataDir) })
	for i, file := range m.Certificates {
		add(fmt.Sprintf("machine.certificate.%d", i), "machine", "certificate", func(context.Context) finding { return certificateFile(file) })
	}
	add("machine.clock", "machine", "clock", func(context.Context) finding { return systemClock() })
	for i, url := range m.NATS {
		add(fmt.Sprintf("cluster.nats.%d", i), "cluster", "NATS", func(ctx context.Context) finding { return greetNATS(ctx, url) })
	}
	for _, p := range m.Probes {
		add("cluster."+p.ID, "cluster", p.Name, func(ctx context.Context) finding {
			if err := p.Ask(ctx); err != nil {
				return broken(err.Error(), p.Hint)
			}
			return fine("it answers")
		})
	}
	return steps
}

func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return port
}

// free opens the port and gives it back.
func (p Port) free(ctx context.Context) finding {
	var lc net.ListenConfig
	var err error
	if p.Protocol == "udp" {
		var conn net.PacketConn
		if conn, err = lc.ListenPacket(ctx, "udp", p.Address); err == nil {
			conn.Close()
		}
	} else {
		var ln net.Listener
		if ln, err = lc.Listen(ctx, "tcp", p.Address); err == nil {
			ln.Close()
		}
	}
	switch {
	case err == nil:
		return fine("%s is free", p.Address)
	case errors.Is(err, syscall.EADDRINUSE):
		return taken(p, owner(p.Protocol, portOf(p.Address)))
	case errors.Is(err, fs.ErrPermission):
		return broken(p.Address+" may not be opened: ports below 1024 need a right", "Run it as a service with CAP_NET_BIND_SERVICE, or take another "+p.Key+".")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return broken("no interface of this machine has the address of "+p.Address, "Put an address of this machine, or 0.0.0.0, into "+p.Key+".")
	}
	return broken(p.Address+": "+plain(err), "")
}

// taken tells the node itself from others.
func taken(p Port, by string) finding {
	if by == "" {
		return doubtful(p.Address+" is taken, by whom only root can see", "Run doctor as root to see it.")
	}
	if strings.HasPrefix(by, "parley ") {
		return fine("%s is taken by %s: the node runs", p.Address, by)
	}
	return broken(p.Address+" is taken by "+by, "Stop that program, or take another "+p.Key+".")
}

// addresses looks for what the node tells clients and they cannot reach.
func (m Machine) addresses() finding {
	told := m.Advertised
	if len(told) == 0 {
		told = m.own()
	}
	var private, public []string
	for _, s := range told {
		ip, err := netip.ParseAddr(s)
		if ap, fault := netip.ParseAddrPort(s); fault == nil {
			ip, err = ap.Addr(), nil
		}
		switch {
		case err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast():
		case ip.IsPrivate():
			private = append(private, ip.String())
		default:
			public = append(public, ip.String())
		}
	}
	switch {
	case len(public) > 0:
		return fine("clients are told %s", strings.Join(append(public, private...), ", "))
	case len(private) > 0:
		return doubtful("private address advertised: "+strings.Join(private, ", ")+"; clients outside of this network cannot send media there",
			"Put the address that the world sees into node.media.advertise.")
	}
	return doubtful("only loopback addresses are advertised: nobody but this machine can call", "Set node.media.listen and node.media.advertise.")
}

// own are the addresses that media listens on.
func (m Machine) own() (all []string) {
	listen, err := netip.ParseAddrPort(m.Media)
	if err == nil && !listen.Addr().IsUnspecified() {
		return []string{listen.Addr().String()}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, prefix.Addr().String())
		}
	}
	return all
}

// disk asks the file system that the data directory is on, or will be.
func disk(dir string) finding {
	at, err := filepath.Abs(dir)
	if err != nil {
		return broken(err.Error(), "")
	}
	for {
		if _, err = os.Stat(at); err == nil || !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	free, known := freeSpace(at)
	if err != nil || !known {
		return skipped("because the file system does not say")
	}
	f := fine("%d MB are free in %s", free>>20, at)
	switch {
	case free < noSpace:
		f = broken(fmt.Sprintf("disk full: %d MB are free in %s", free>>20, at), "Meetings cannot be stored: make room.")
	case free < littleSpace:
		f = doubtful(fmt.Sprintf("only %d MB are free in %s", free>>20, at), "Make room before it is full.")
	}
	f.figures = map[string]float64{"free_bytes": float64(free)}
	return f
}

// certificateFile reads the first certificate of a PEM file.
func certificateFile(file string) finding {
	body, err := os.ReadFile(file)
	if err != nil {
		return broken("certificate: "+err.Error(), "The node must be able to read it.")
	}
	block, _ := pem.Decode(body)
	if block == nil {
		return broken("certificate: "+file+" is no PEM file", "")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return broken("certificate: "+file+": "+err.Error(), "")
	}
	left := time.Until(leaf.NotAfter)
	switch {
	case left < 0:
		return broken(fmt.Sprintf("certificate %s expired on %s", file, leaf.NotAfter.Format(time.DateTime)), "Renew it.")
	case left < renewBefore:
		return doubtful(fmt.Sprintf("certificate %s expires in %d days", file, int(left.Hours()/24)), "Renew it.")
	}
	return fine("%s, for %s, good for %d days", file, strings.Join(leaf.DNSNames, ", "), int(left.Hours()/24))
}

// greetNATS waits for the line with which a NATS server begins. Where that comes in a TLS connection alone, it only connects.
func greetNATS(ctx context.Context, rawURL string) finding {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return broken("bus.url is no URL", "")
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "4222")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return broken("NATS is not reached at "+address+": "+plain(err), "Calls go on without it; meetings cannot be made or changed.")
	}
	defer conn.Close()
	if u.Scheme != "nats" {
		return fine("%s answers", address)
	}
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetReadDeadline(end) // without one it would only wait longer
	}
	const longest = 64 << 10
	line, err := bufio.NewReaderSize(conn, longest).ReadSlice('\n')
	if err != nil || !strings.HasPrefix(string(line), "INFO ") {
		return broken(address+" is no NATS server", "Look at bus.url.")
	}
	return fine("%s is a NATS server", address)
}
