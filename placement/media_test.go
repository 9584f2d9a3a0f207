package placement

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestMediaAddressesAndRelaysArriveAsTheyWere(t *testing.T) {
	n := Node{
		ID: "nd_1", Region: "eu", Media: netip.MustParseAddrPort("192.0.2.1:7881"),
		MediaToo: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:7881"), netip.MustParseAddrPort("10.0.0.1:7882")},
		Relay:    []string{"turn.example.org:3478", "s:turn.example.org:5349"},
	}
	meta, err := encodeFacts(n)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeFacts(n.ID, meta)
	if err != nil || !reflect.DeepEqual(got, n) {
		t.Fatalf("%+v, %v, want %+v", got, err, n)
	}
	want := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:7881"), netip.MustParseAddrPort("[2001:db8::1]:7881"), netip.MustParseAddrPort("10.0.0.1:7882"),
	}
	if all := got.MediaAddresses(); !reflect.DeepEqual(all, want) {
		t.Errorf("media at %v, want %v", all, want)
	}
	if all := (Node{}).MediaAddresses(); all != nil {
		t.Errorf("a node without media has it at %v", all)
	}
}

// A machine with more addresses than gossip has room for tells of the first ones; nothing else is lost.
func TestAddressesThatDoNotFitAreLeftOut(t *testing.T) {
	n := Node{
		ID: "nd_1", Region: "eu", Media: netip.MustParseAddrPort("192.0.2.1:7881"), Version: "v1", Incarnation: 1 << 62,
		SignalEndpoint: "wss://signal-17.southeast-asia-2.parley.example.net/v1/signal", Fingerprint: "sha-256 0F" + strings.Repeat(":A1", 31),
		Relay: []string{"turn.example.org:3478", "192.0.2.1:3478"},
	}
	for i := range 60 {
		n.MediaToo = append(n.MediaToo, netip.MustParseAddrPort(fmt.Sprintf("[2001:db8:1111:2222:3333:4444:5555:%x]:7881", i+1)))
	}
	meta, err := encodeFacts(n)
	if err != nil || len(meta) > memberlist.MetaMaxSize {
		t.Fatalf("%d bytes, %v", len(meta), err)
	}
	got, err := decodeFacts(n.ID, meta)
	if err != nil {
		t.Fatal(err)
	}
	if kept := len(got.MediaToo); kept == 0 || !reflect.DeepEqual(got.MediaToo, n.MediaToo[:kept]) || len(got.Relay) == 0 || got.Fingerprint != n.Fingerprint {
		t.Errorf("%+v", got)
	}
}

// What a later release says of addresses is skipped where it makes no sense here.
func TestAddressesOfALaterRelease(t *testing.T) {
	n, err := decodeFacts("nd_1", []byte(`{"r":"eu","i":7,"l":"192.0.2.1:7881","a":["192.0.2.2","quic!"],"t":["x"]}`))
	if err != nil || len(n.MediaAddresses()) != 2 || len(n.Relay) != 1 {
		t.Errorf("%+v, %v", n, err)
	}
}
