package client

import (
	"net/netip"
	"testing"
	"time"
)

func TestLookout(t *testing.T) {
	home, mobile := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("10.0.0.2")
	first, second := netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("192.0.2.2:443")
	type sight struct {
		after time.Duration // since the sight before
		view  view
		want  news
		away  bool
	}
	at := func(route netip.Addr, path uint64) view {
		return view{from: home, route: route, path: path, flows: true}
	}
	for _, tc := range []struct {
		name string
		sees []sight
	}{
		{name: "all is well", sees: []sight{
			{view: at(home, 1)}, {after: time.Second, view: at(home, 2)}, {after: time.Second, view: at(home, 3)},
		}},
		{name: "another address at once", sees: []sight{
			{view: at(home, 1)},
			{after: time.Second, view: at(mobile, 1), want: news{rerouted: true}},
			{after: 100 * time.Millisecond, view: at(mobile, 1)},
		}},
		{name: "another address before the first look", sees: []sight{{view: at(mobile, 1), want: news{rerouted: true}}}},
		{name: "another address, and a socket from there", sees: []sight{
			{view: at(mobile, 1), want: news{rerouted: true}},
			{after: time.Second, view: view{from: mobile, route: mobile, path: 2, flows: true}},
		}},
		{name: "another server, which is reached from another address", sees: []sight{
			{view: view{server: first, route: home, path: 1, flows: true}},
			{after: time.Second, view: view{server: second, route: mobile, path: 2, flows: true}},
			{after: time.Second, view: view{server: second, route: home, path: 3, flows: true}, want: news{rerouted: true}},
		}},
		{name: "no way, then another address", sees: []sight{
			{view: at(home, 1)},
			{after: 500 * time.Millisecond, view: at(netip.Addr{}, 1), away: true},
			{after: 500 * time.Millisecond, view: at(netip.Addr{}, 1), want: news{doubtful: true}, away: true},
			{after: 5 * time.Second, view: at(netip.Addr{}, 1), away: true},
			{after: 100 * time.Millisecond, view: at(mobile, 1), want: news{rerouted: true}},
		}},
		{name: "no way for a moment", sees: []sight{
			{view: at(home, 1)},
			{after: 500 * time.Millisecond, view: at(netip.Addr{}, 1), away: true},
			{after: 100 * time.Millisecond, view: at(home, 1), want: news{returned: true}},
			{after: 100 * time.Millisecond, view: at(home, 2)},
		}},
		{name: "no way for long, and the old path is gone", sees: []sight{
			{view: at(home, 1)},
			{after: 5 * time.Second, view: at(netip.Addr{}, 1), want: news{doubtful: true}, away: true},
			{after: time.Second, view: at(home, 1), want: news{returned: true}},
			{after: 100 * time.Millisecond, view: at(home, 1)},
			{after: 200 * time.Millisecond, view: at(home, 1), want: news{broken: true}},
			{after: time.Second, view: at(home, 1)},
		}},
		{name: "the path falls silent", sees: []sight{
			{view: at(home, 1)},
			{after: 700 * time.Millisecond, view: at(home, 1)},
			{after: 50 * time.Millisecond, view: at(home, 1), want: news{doubtful: true}},
			{after: 700 * time.Millisecond, view: at(home, 1)},
			{after: 50 * time.Millisecond, view: at(home, 1), want: news{broken: true}},
			{after: time.Minute, view: at(home, 1)},
			{after: time.Second, view: at(home, 2)},
			{after: 2 * time.Second, view: at(home, 2), want: news{doubtful: true, broken: true}},
		}},
		{name: "without media nothing is silent", sees: []sight{
			{view: view{from: home, route: home}}, {after: time.Minute, view: view{from: home, route: home}},
		}},
		{name: "who sees no route at all is not away", sees: []sight{{view: view{}}, {after: time.Minute, view: view{}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l lookout
			now := time.Now()
			for i, s := range tc.sees {
				now = now.Add(s.after)
				if got := l.look(s.view, now); got != s.want || l.away != s.away {
					t.Errorf("sight %d: %+v, away %v; want %+v, away %v", i, got, l.away, s.want, s.away)
				}
			}
		})
	}
}
