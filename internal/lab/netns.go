package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Link is two network namespaces of the test's own with a cable between them: a server's end and a client's end.
// Nothing in it reaches anything else.
type Link struct {
	Server, Client     string // names of the namespaces
	ServerIP, ClientIP string
}

// The addresses of a link's ends.
const (
	linkServer4, linkClient4 = "10.77.0.1", "10.77.0.2"
	linkServer6, linkClient6 = "fd77::1", "fd77::2"
)

// Six is the link as those see it who have only IPv6.
func (l *Link) Six() *Link {
	return &Link{Server: l.Server, Client: l.Client, ServerIP: linkServer6, ClientIP: linkClient6}
}

// NewLink makes a link that is gone when the test is over. It needs root, or sudo without a password.
func NewLink(tb testing.TB) *Link {
	tb.Helper()
	l := &Link{
		Server: fmt.Sprintf("parley-s%d", os.Getpid()), ServerIP: linkServer4,
		Client: fmt.Sprintf("parley-c%d", os.Getpid()), ClientIP: linkClient4,
	}
	for _, ns := range []string{l.Server, l.Client} {
		privileged(tb, "ip", "netns", "add", ns)
		tb.Cleanup(func() { privileged(tb, "ip", "netns", "delete", ns) })
		privileged(tb, "ip", "-n", ns, "link", "set", "lo", "up")
	}
	privileged(tb, "ip", "link", "add", "cable", "netns", l.Server, "type", "veth", "peer", "name", "cable", "netns", l.Client)
	for ns, ips := range map[string][]string{
		l.Server: {linkServer4 + "/24", linkServer6 + "/64"}, l.Client: {linkClient4 + "/24", linkClient6 + "/64"},
	} {
		for _, ip := range ips {
			privileged(tb, "ip", "-n", ns, "addr", "add", ip, "dev", "cable", "nodad") // duplicates cannot be, and finding out takes time
		}
		privileged(tb, "ip", "-n", ns, "link", "set", "cable", "up")
	}
	return l
}

// Lose makes the link lose that share of the packets of one protocol, in both directions, at random.
func (l *Link) Lose(tb testing.TB, protocol string, percent int) {
	tb.Helper()
	which := fmt.Sprintf("numgen random mod 100 < %d", percent)
	if percent >= 100 {
		which = ""
	}
	rules := fmt.Sprintf(`
table inet loss {
	chain in {
		type filter hook input priority 0;
		iifname "cable" meta l4proto %[1]s %[2]s counter drop
	}
	chain out {
		type filter hook output priority 0;
		oifname "cable" meta l4proto %[1]s %[2]s counter drop
	}
}`, protocol, which)
	nft := exec.Command("ip", "netns", "exec", l.Client, "nft", "-f", "-")
	elevate(nft)
	nft.Stdin = strings.NewReader(rules)
	if out, err := nft.CombinedOutput(); err != nil {
		tb.Fatalf("lab: nft: %v\n%s", err, out)
	}
}

// Lost reports the counters of the rules that Lose made, to show that they did lose.
func (l *Link) Lost(tb testing.TB) string {
	tb.Helper()
	return privileged(tb, "ip", "netns", "exec", l.Client, "nft", "list", "table", "inet", "loss")
}

// Block makes the client's end drop what it would send, by nft's own words such as "udp dport 3478", and nothing else. Without
// any it lets everything out again.
func (l *Link) Block(tb testing.TB, matches ...string) {
	tb.Helper()
	var rules strings.Builder
	rules.WriteString("table inet firewall\ndelete table inet firewall\ntable inet firewall {\n\tchain out {\n\t\ttype filter hook output priority 0;\n")
	for _, match := range matches {
		fmt.Fprintf(&rules, "\t\toifname \"cable\" %s drop\n", match)
	}
	nft := exec.Command("ip", "netns", "exec", l.Client, "nft", "-f", "-")
	elevate(nft)
	nft.Stdin = strings.NewReader(rules.String() + "\t}\n}\n")
	if out, err := nft.CombinedOutput(); err != nil {
		tb.Fatalf("lab: nft: %v\n%s", err, out)
	}
}

// inside makes the command run in the namespace.
func inside(namespace string, cmd *exec.Cmd) {
	if namespace == "" {
		return
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		ip = "/usr/sbin/ip"
	}
	cmd.Args = append([]string{ip, "netns", "exec", namespace, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = ip
	elevate(cmd)
}

// elevate makes the command run as root.
func elevate(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		return
	}
	cmd.Args = append([]string{"sudo", "-n", "--preserve-env"}, cmd.Args...)
	if path, err := exec.LookPath("sudo"); err == nil {
		cmd.Path = path
	}
}

// privileged runs a short command as root.
func privileged(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	elevate(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("lab: %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
