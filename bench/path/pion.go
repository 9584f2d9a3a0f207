package path

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/bench/server"
)

// A pionRoom brings people into the plain pion server.
type pionRoom struct {
	url     string
	api     *webrtc.API // of publishers
	viewing *webrtc.API // of viewers, whose sockets are sinks
	load    Load
}

// newPion starts the plain pion server and brings a load's people into it.
func newPion(ctx context.Context, binary string, load Load) (c *contender, err error) {
	if load.PionMost > 0 {
		load.Viewers = min(load.Viewers, load.PionMost)
	}
	c = &contender{name: Pion, viewers: load.Viewers}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.process, err = server.Start(ctx, binary); err != nil {
		return nil, err
	}
	c.later(c.process.Stop)
	var ready struct{ URL string }
	if err := c.process.Ready(&ready); err != nil {
		return nil, err
	}
	room, err := newPionRoom(ready.URL, load, c.attend(ctx))
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // protects c
	err = inParallel(ctx, load.Publishers, func() error {
		pc, track, err := room.publish(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		c.later(pc.Close)
		c.sources = append(c.sources, track)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("publishers: %w", err)
	}
	if err := room.awaitTracks(ctx, c); err != nil {
		return nil, err
	}
	err = inParallel(ctx, load.Viewers, func() error {
		pc, err := room.view(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		c.later(pc.Close)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("viewers: %w", err)
	}
	return c, c.warmUp(ctx, load)
}

func newPionRoom(url string, load Load, w *sweeper) (*pionRoom, error) {
	network, err := newLoopback(w)
	if err != nil {
		return nil, err
	}
	room := &pionRoom{url: url, load: load}
	var viewer, publisher webrtc.SettingEngine
	for _, s := range []*webrtc.SettingEngine{&viewer, &publisher} {
		s.SetIncludeLoopbackCandidate(true)
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	}
	viewer.SetNet(network)
	room.api, room.viewing = webrtc.NewAPI(webrtc.WithSettingEngine(publisher)), webrtc.NewAPI(webrtc.WithSettingEngine(viewer))
	return room, nil
}

// publish connects a publisher.
func (r *pionRoom) publish(ctx context.Context) (*webrtc.PeerConnection, source, error) {
	pc, err := r.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, nil, err
	}
	capability := webrtc.RTPCodecCapability{MimeType: r.load.mime()}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, "track", "stream")
	if err == nil {
		_, err = pc.AddTrack(track)
	}
	if err == nil {
		err = r.connect(ctx, pc, "/publish")
	}
	if err != nil {
		return nil, nil, errors.Join(err, pc.Close())
	}
	return pc, track, nil
}

// view connects a viewer, with an m-line for each publisher.
func (r *pionRoom) view(ctx context.Context) (*webrtc.PeerConnection, error) {
	kind := webrtc.RTPCodecTypeAudio
	if r.load.video() {
		kind = webrtc.RTPCodecTypeVideo
	}
	pc, err := r.viewing.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	for range r.load.Publishers {
		_, err = pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			return nil, errors.Join(err, pc.Close())
		}
	}
	if err := r.connect(ctx, pc, "/view"); err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	return pc, nil
}

// connect exchanges descriptions and waits until media can flow.
func (r *pionRoom) connect(ctx context.Context, pc *webrtc.PeerConnection, path string) error {
	connected := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	answer, err := r.call(ctx, http.MethodPost, path, pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	select {
	case <-connected:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("connect to pion: %w", ctx.Err())
	}
}

func (r *pionRoom) call(ctx context.Context, method, path, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, read)
	}
	return string(read), err
}

// awaitTracks sends until the server knows every track: it hears of one by its first packet.
func (r *pionRoom) awaitTracks(ctx context.Context, c *contender) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	p := c.pumping(r.load)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := p.burst(); err != nil {
			return err
		}
		text, err := r.call(ctx, http.MethodGet, "/tracks", "")
		if err != nil {
			return err
		}
		var known struct{ Tracks int }
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			return err
		}
		if known.Tracks == r.load.Publishers {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("pion knows %d tracks of %d: %w", known.Tracks, r.load.Publishers, ctx.Err())
		}
	}
}
