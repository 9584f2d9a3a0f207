package udp

import (
	"errors"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setAside opens another socket beside each of some that share a port, and has the kernel tell datagrams that can wait apart
// (socket(7), SO_ATTACH_REUSEPORT_CBPF; Linux 4.5). Where that cannot be, all come together.
func (s Shards) setAside(cfg Config) {
	cfg.ReusePort, cfg.Listen = true, s.LocalAddr()
	sockets := make([]*socket, 0, len(s))
	for range s {
		aside, _, err := openSocket(cfg)
		if err != nil {
			break
		}
		sockets = append(sockets, aside)
	}
	if len(sockets) < len(s) || s[0].sock.distribute(cfg.Aside.Classes, len(s)) != nil {
		for _, aside := range sockets {
			_ = aside.close() // nothing has used it
		}
		return
	}
	for i, c := range s {
		c.sock.aside = sockets[i]
	}
}

// distribute has the kernel give datagrams of some classes to the second n of twice as many sockets that share a port, in the order in which
// they were bound, and all others to the first n. Those of one remote go to one of the first and its partner.
func (s *socket) distribute(classes []Class, n int) error {
	filter := distribution(classes, uint32(n))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF",
		unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &program))
}

// Where a filter that sees a datagram's payload finds its headers.
const (
	ipHeader     = uint32(1<<32 - 0x100000) // SKF_NET_OFF
	sourceInIPv4 = ipHeader + 12
	sourceInIPv6 = ipHeader + 8 + 12 // the last four bytes
	portInIPv6   = ipHeader + 40
)

// distribution is the program for that, in the language of the Berkeley packet filter.
func distribution(classes []Class, n uint32) []unix.SockFilter {
	const (
		loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		loadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		atLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		above    = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		equal    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		alu      = unix.BPF_ALU
	)
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_IMM, K: n}, {Code: unix.BPF_ST}} // M[0]: the first of the sockets in question
	for i, c := range classes {
		const length = 7
		found := uint32(length*(len(classes)-i-1) + 2) // beyond the classes to come, and what is for none
		program = append(program,
			unix.SockFilter{Code: loadByte, K: 0},
			unix.SockFilter{Code: atLeast, K: uint32(c.First.From), Jf: 5},
			unix.SockFilter{Code: above, K: uint32(c.First.To), Jt: 4},
			unix.SockFilter{Code: loadByte, K: 1},
			unix.SockFilter{Code: atLeast, K: uint32(c.Second.From), Jf: 2},
			unix.SockFilter{Code: above, K: uint32(c.Second.To), Jt: 1},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: found},
		)
	}
	return append(program,
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_IMM, K: 0},
		unix.SockFilter{Code: unix.BPF_ST},
		// A: the remote's port, xor the end of its address.
		unix.SockFilter{Code: loadByte, K: ipHeader},
		unix.SockFilter{Code: alu | unix.BPF_RSH | unix.BPF_K, K: 4},
		unix.SockFilter{Code: equal, K: 6, Jt: 5},
		unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: ipHeader},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: ipHeader},
		unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX},
		unix.SockFilter{Code: loadWord, K: sourceInIPv4},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 3},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: portInIPv6},
		unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX},
		unix.SockFilter{Code: loadWord, K: sourceInIPv6},
		unix.SockFilter{Code: alu | unix.BPF_XOR | unix.BPF_X},
		// Spread over n: the upper bits of a product depend on all of its factor.
		unix.SockFilter{Code: alu | unix.BPF_MUL | unix.BPF_K, K: 0x9e3779b1},
		unix.SockFilter{Code: alu | unix.BPF_RSH | unix.BPF_K, K: 16},
		unix.SockFilter{Code: alu | unix.BPF_MOD | unix.BPF_K, K: n},
		unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_MEM},
		unix.SockFilter{Code: alu | unix.BPF_ADD | unix.BPF_X},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A},
	)
}

// patience is when a waiter reads the socket of what can wait: at once where little comes, else by an alarm, which the waiter's epoll
// instance watches in the socket's place.
type patience struct {
	lull

	sock     *socket
	alarm    *os.File
	fd       uintptr // its descriptor
	set      unix.ItimerSpec
	watching bool // the instance watches the socket
}

func newPatience(s *socket, most time.Duration, epoll int) (*patience, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	p := &patience{lull: lull{most: most.Nanoseconds()}, sock: s, alarm: os.NewFile(uintptr(fd), "alarm"), fd: uintptr(fd)}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{})
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// watch has the waiter woken when the socket is to be read, or, without events, not woken any more.
func (p *patience) watch(epoll uintptr, events uint32, now int64, event *unix.EpollEvent) error {
	if left := p.left(now); events != 0 && left > 0 {
		return p.wake(left)
	}
	if p.watching == (events != 0) {
		return nil
	}
	p.watching = events != 0
	return p.sock.watch(epoll, events, event)
}

// wake has the waiter woken after so many nanoseconds.
func (p *patience) wake(after int64) error {
	if !p.sock.gate.enter() {
		return net.ErrClosed
	}
	defer p.sock.gate.leave()
	p.set.Value.Nsec = after
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, p.fd, 0, uintptr(unsafe.Pointer(&p.set)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("timerfd_settime", errno)
	}
	return nil
}

// close is called when the socket has been closed, so that nobody sets the alarm any more.
func (p *patience) close() error { return p.alarm.Close() }
