package api

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// origin is one entry of the allow-list: an exact origin (RFC 6454), or one with any port.
type origin struct {
	prefix  string // "scheme://host" or "scheme://host:port"
	anyPort bool
}

func parseOrigin(s string) (origin, error) {
	bare, anyPort := strings.CutSuffix(s, ":*")
	u, err := url.Parse(bare)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != bare {
		return origin{}, fmt.Errorf("%q is not an origin such as https://meet.example.org", s)
	}
	if anyPort && u.Port() != "" {
		return origin{}, fmt.Errorf("%q has a port and any port", s)
	}
	return origin{prefix: strings.ToLower(bare), anyPort: anyPort}, nil
}

// matches compares with an Origin header as browsers send it: in lower case, without a default port.
func (o origin) matches(header string) bool {
	if header == o.prefix {
		return true
	}
	port, ok := strings.CutPrefix(header, o.prefix+":")
	return o.anyPort && ok && isPort(port)
}

func isPort(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}

// isLoopbackHost says whether a Host header, with or without a port, names this machine and cannot be made to name
// another one by somebody's DNS.
func isLoopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
