package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

const (
	reachTime   = 3 * time.Second
	renewBefore = 14 * 24 * time.Hour // a certificate that ends sooner should have been renewed
)

// place is where the server's HTTP is.
type place struct {
	url  *url.URL
	host string // without port
	port string
	tls  bool
}

func placeOf(rawURL string) (place, error) {
	u, err := url.Parse(strings.TrimSuffix(rawURL, "/"))
	if err != nil {
		return place{}, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return place{}, fmt.Errorf("%q is not the http or https URL of a server", rawURL)
	}
	p := place{url: u, host: u.Hostname(), port: u.Port(), tls: u.Scheme == "https"}
	switch {
	case p.port == "" && p.tls:
		p.port = "443"
	case p.port == "":
		p.port = "80"
	}
	return p, nil
}

func (p place) address() string { return net.JoinHostPort(p.host, p.port) }

// reach are the steps to the server's HTTP port.
func (p place) reach(roots *x509.CertPool) []step {
	steps := []step{
		{id: "network.dns", plane: "network", name: "DNS", limit: reachTime, ask: p.lookUp},
		{id: "network.tcp", plane: "network", name: "TCP", needs: []string{"network.dns"}, limit: reachTime, ask: p.dial},
	}
	if p.tls {
		steps = append(steps, step{
			id: "network.tls", plane: "network", name: "TLS", needs: []string{"network.tcp"}, limit: 2 * reachTime,
			ask: func(ctx context.Context) finding { return p.handshake(ctx, roots) },
		})
	}
	return steps
}

func (p place) lookUp(ctx context.Context) finding {
	if net.ParseIP(p.host) != nil {
		return fine("%s is an address", p.host)
	}
	addresses, err := new(net.Resolver).LookupHost(ctx, p.host)
	if err != nil {
		return broken(fmt.Sprintf("%s has no address: %s", p.host, plain(err)), "Check the name, and the DNS server of this machine.")
	}
	return fine("%s is %s", p.host, strings.Join(addresses, ", "))
}

func (p place) dial(ctx context.Context) finding {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address())
	if err != nil {
		return broken("REST down: nobody answers at "+p.address()+": "+plain(err),
			"Is the server running, and does every firewall on the way let TCP "+p.port+" through?")
	}
	defer conn.Close()
	return fine("%s answers", conn.RemoteAddr())
}

func (p place) handshake(ctx context.Context, roots *x509.CertPool) finding {
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", p.address())
	if err != nil {
		return p.badCertificate(err)
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return broken("no TLS at "+p.address(), "")
	}
	state := secure.ConnectionState()
	leaf := state.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	f := fine("%s, certificate of %s, good for %d days", tls.VersionName(state.Version), strings.Join(leaf.DNSNames, ", "), int(left.Hours()/24))
	f.figures = map[string]float64{"certificate_days": left.Hours() / 24}
	if left < renewBefore {
		f.state, f.cause = Warn, fmt.Sprintf("certificate expires in %d days", int(left.Hours()/24))
		f.hint = "Renew it: from that day on no browser connects."
	}
	return f
}

// badCertificate names what is wrong with the server's certificate.
func (p place) badCertificate(err error) finding {
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return broken(fmt.Sprintf("certificate has the wrong name: it is for %s, not for %s",
			strings.Join(wrong.Certificate.DNSNames, ", "), p.host), "Get a certificate that has "+p.host+", or use the name that it has.")
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		if now := time.Now(); now.Before(invalid.Cert.NotBefore) {
			return broken(fmt.Sprintf("certificate is not good before %s: one of the clocks is wrong", invalid.Cert.NotBefore.Format(time.DateTime)),
				"Set the clock of this machine, or of the one that made the certificate.")
		}
		return broken(fmt.Sprintf("certificate expired on %s", invalid.Cert.NotAfter.Format(time.DateTime)), "Renew it.")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return broken("certificate is signed by nobody that this machine trusts",
			"Send the whole chain with it, or name your own authority with --ca.")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return broken("no TLS at "+p.address()+": it speaks something else", "Is it http:// rather than https://?")
	}
	return broken("TLS: "+plain(err), "")
}

// plain is an error without the words that Go's packages put around it.
func plain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		if op.Timeout() {
			return "no answer in time"
		}
		return op.Err.Error()
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}
