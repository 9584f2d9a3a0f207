package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespaces is where ip(8) keeps network namespaces by their names.
const Namespaces = "/var/run/netns"

// Enter calls f on a thread that is in a network namespace: what it opens stays there. f must not leave its goroutine for
// that.
func Enter(namespace *os.File, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", namespace.Name(), err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave %s: %w", namespace.Name(), back)) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// openTUN makes a TUN device (IP packets, no header) that does not block in a namespace.
func openTUN(namespace, device string) (fd int, err error) {
	space, err := os.Open(filepath.Join(Namespaces, namespace))
	if err != nil {
		return 0, err
	}
	defer space.Close()
	err = Enter(space, func() error {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq(device)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		return nil
	})
	return fd, err
}
