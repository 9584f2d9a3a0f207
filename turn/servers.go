package turn

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const (
	tlsMark = "s:"
	maxURLs = 5 // browsers become slow beyond that
)

// URLs turns the addresses of a relay, as Server.Addresses gives them, into what clients take: stun without, turn with a
// credential (RFC 7064, RFC 7065). Of several hosts the first of each kind (name, IPv4, IPv6) counts; there are five URLs at
// most. What makes no sense is left out: the addresses may have come from another release.
func URLs(addresses []string) (stun, turn []string) {
	var plain, secure []string
	kinds := map[string]bool{}
	for _, address := range addresses {
		rest, overTLS := strings.CutPrefix(address, tlsMark)
		host, port, err := net.SplitHostPort(rest)
		if err != nil || validHost(host) != nil || !validPort(port) {
			continue
		}
		if overTLS {
			secure = append(secure, "turns:"+rest+"?transport=tcp")
			continue
		}
		if kind := kindOf(host); !kinds[kind] {
			kinds[kind] = true
			plain = append(plain, rest)
		}
	}
	if len(plain) > 0 {
		stun = []string{"stun:" + plain[0]}
		turn = append(turn, "turn:"+plain[0]+"?transport=udp", "turn:"+plain[0]+"?transport=tcp")
	}
	if len(secure) > 0 {
		turn = append(turn, secure[0])
	}
	for _, more := range plain[min(1, len(plain)):] {
		turn = append(turn, "turn:"+more+"?transport=udp")
	}
	return stun, turn[:min(len(turn), maxURLs-len(stun))]
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func kindOf(host string) string {
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "name"
	case addr.Unmap().Is4():
		return "ipv4"
	default:
		return "ipv6"
	}
}
