package placement

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Place is a point on the Earth, in degrees; north and east are positive.
type Place struct {
	Latitude, Longitude float64
}

// kmTo is the distance on a great circle (haversine).
func (p Place) kmTo(q Place) float64 {
	const radius, degree = 6371, math.Pi / 180
	dLat, dLon := (q.Latitude-p.Latitude)*degree, (q.Longitude-p.Longitude)*degree
	h := square(math.Sin(dLat/2)) + math.Cos(p.Latitude*degree)*math.Cos(q.Latitude*degree)*square(math.Sin(dLon/2))
	return 2 * radius * math.Asin(math.Sqrt(min(h, 1)))
}

func square(x float64) float64 { return x * x }

// geo looks addresses up in a GeoIP file. One without a file finds nothing.
type geo struct{ db *maxminddb.Reader }

func openGeo(file string) (*geo, error) {
	if file == "" {
		return &geo{}, nil
	}
	db, err := maxminddb.Open(file)
	if err != nil {
		return nil, fmt.Errorf("placement: GeoIP file: %w", err)
	}
	return &geo{db: db}, nil
}

func (g *geo) close() error {
	if g.db == nil {
		return nil
	}
	return g.db.Close()
}

// find returns where an address is. Private addresses, countries without a point and broken records are nowhere.
func (g *geo) find(addr netip.Addr) (Place, bool) {
	if g.db == nil || !addr.IsValid() {
		return Place{}, false
	}
	var record struct {
		Location struct {
			Latitude  *float64 `maxminddb:"latitude"`
			Longitude *float64 `maxminddb:"longitude"`
		} `maxminddb:"location"`
	}
	err := g.db.Lookup(addr.Unmap()).Decode(&record)
	at := record.Location
	if err != nil || at.Latitude == nil || at.Longitude == nil {
		return Place{}, false
	}
	p := Place{Latitude: *at.Latitude, Longitude: *at.Longitude}
	return p, math.Abs(p.Latitude) <= 90 && math.Abs(p.Longitude) <= 180
}
