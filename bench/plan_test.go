package bench

import (
	"strings"
	"testing"
	"time"
)

func TestPlanFaults(t *testing.T) {
	good := Defaults()
	good.URL = "https://parley.example"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spoil func(*Plan)
		says  string
	}{
		"no URL":          {func(p *Plan) { p.URL = "parley.example" }, "url:"},
		"no rooms":        {func(p *Plan) { p.Rooms = 0 }, "rooms:"},
		"nobody":          {func(p *Plan) { p.Publishers, p.Viewers = 0, 0 }, "nobody would come"},
		"fewer than none": {func(p *Plan) { p.Viewers = -1 }, "viewers:"},
		"too many":        {func(p *Plan) { p.Rooms = 1000 }, "at most"},
		"media":           {func(p *Plan) { p.Media = "smell" }, "media:"},
		"layout":          {func(p *Plan) { p.Layout = "heap" }, "layout:"},
		"rate":            {func(p *Plan) { p.JoinRate = 0 }, "join-rate:"},
		"duration":        {func(p *Plan) { p.Duration = time.Millisecond }, "duration:"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			tc.spoil(&p)
			if err := p.Validate(); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("says %v, want %q", err, tc.says)
			}
		})
	}
}
