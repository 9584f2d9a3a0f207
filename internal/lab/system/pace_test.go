package system_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// usualHandshake is what one TLS handshake, both ends of it, takes of CPU on the machine that bounds of CPU time are for, as handshakes measures it.
const usualHandshake = 830 * time.Microsecond

// slowness is by how many times this machine is slower now than the one that bounds of CPU time are for; at least 1. A shared machine
// takes half as long again for everything, or twice, from one hour to the next.
func slowness(tb testing.TB) float64 {
	tb.Helper()
	took := handshakes(tb)
	slow := max(1, float64(took)/float64(usualHandshake))
	tb.Logf("a TLS handshake takes %s of CPU: bounds are those of a usual machine × %.2f", took.Round(time.Microsecond), slow)
	return slow
}

// handshakes measures the CPU of a TLS handshake over loopback, many at once: public keys, system calls and goroutines that are woken, as in a join.
func handshakes(tb testing.TB) time.Duration {
	tb.Helper()
	const count, abreast = 512, 16
	listener, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(tb)}})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = conn.Read(make([]byte, 1)) // until the other end closes
				_ = conn.Close()
			}()
		}
	}()
	var wg sync.WaitGroup
	before := ownCPU()
	for range abreast {
		wg.Go(func() {
			for range count / abreast {
				conn, err := tls.Dial("tcp4", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its own certificate
				if err != nil {
					tb.Error(err)
					return
				}
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	return (ownCPU() - before) / count
}

// ownCPU is the CPU time of this process so far.
func ownCPU() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // it cannot fail
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func selfSigned(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
