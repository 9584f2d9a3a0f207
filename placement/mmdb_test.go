package placement_test

import (
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/parley-sfu/parley/placement"
)

// mmdb writes a small MaxMind DB: a binary tree over the bits of IPv6 addresses with IPv4 in ::/96, then the records,
// then the metadata (the format's specification 2.0).
func mmdb(places map[netip.Prefix]placement.Place) []byte {
	const none = -1
	tree := [][2]int{{none, none}} // a child ≥ 0 is a node; a record is -2 - its offset
	var records []byte
	for prefix, place := range places {
		bits, length := prefix.Addr().As16(), prefix.Bits()
		if prefix.Addr().Is4() {
			bits[10], bits[11] = 0, 0
			length += 96
		}
		at := 0
		for i := range length - 1 {
			bit := bits[i/8] >> (7 - i%8) & 1
			if tree[at][bit] == none {
				tree = append(tree, [2]int{none, none})
				tree[at][bit] = len(tree) - 1
			}
			at = tree[at][bit]
		}
		tree[at][bits[(length-1)/8]>>(7-(length-1)%8)&1] = -2 - len(records)
		records = mmdbMap(records, 1)
		records = mmdbMap(mmdbString(records, "location"), 2)
		records = mmdbDouble(mmdbString(records, "latitude"), place.Latitude)
		records = mmdbDouble(mmdbString(records, "longitude"), place.Longitude)
	}
	var out []byte
	for _, node := range tree {
		for _, child := range node {
			value := child
			if child == none {
				value = len(tree)
			} else if child < none {
				value = len(tree) + 16 + (-2 - child)
			}
			out = append(out, byte(value>>16), byte(value>>8), byte(value))
		}
	}
	out = append(out, make([]byte, 16)...)
	out = append(out, records...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	out = mmdbMap(out, 7)
	for key, value := range map[string]uint32{
		"node_count": uint32(len(tree)), "record_size": 24, "ip_version": 6, "binary_format_major_version": 2,
		"binary_format_minor_version": 0, "build_epoch": 1_800_000_000,
	} {
		out = append(mmdbString(out, key), 6<<5|4) // uint32
		out = binary.BigEndian.AppendUint32(out, value)
	}
	return mmdbString(mmdbString(out, "database_type"), "Test-City")
}

func mmdbMap(b []byte, size int) []byte    { return append(b, 7<<5|byte(size)) }
func mmdbString(b []byte, s string) []byte { return append(append(b, 2<<5|byte(len(s))), s...) }
func mmdbDouble(b []byte, value float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 3<<5|8), math.Float64bits(value))
}
