// Command pion is the SFU that pion's examples show how to write: a PeerConnection a participant with the default interceptors
// and a socket of its own, each published track read in a loop and written to a TrackLocalStaticRTP that every viewer has. It is
// what Parley is measured beside, and of no other use.
//
// It prints where it listens as a line of JSON. POST /publish and POST /view take an offer and answer it; GET /tracks tells how
// many tracks have come. It ends with SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

const (
	maxOffer    = 1 << 20
	maxDatagram = 1500
	headerLimit = 5 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pion:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	api, err := newAPI()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &sfu{api: api}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /publish", s.answering(s.publish))
	mux.HandleFunc("POST /view", s.answering(s.view))
	mux.HandleFunc("GET /tracks", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]int{"tracks": len(s.all())})
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerLimit}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"url": "http://" + ln.Addr().String()}); err != nil {
		return err
	}
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newAPI is pion as it comes, but for being told to use loopback and nothing else.
func newAPI() (*webrtc.API, error) {
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings)), nil
}

// sfu is one room.
type sfu struct {
	api *webrtc.API

	mu     sync.Mutex // protects following
	tracks []*webrtc.TrackLocalStaticRTP
}

func (s *sfu) all() []*webrtc.TrackLocalStaticRTP {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*webrtc.TrackLocalStaticRTP(nil), s.tracks...)
}

// answering serves an offer with a new connection that prepare has made ready.
func (s *sfu) answering(prepare func(*webrtc.PeerConnection) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		offer, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOffer))
		if err == nil {
			var answer string
			if answer, err = s.answer(string(offer), prepare); err == nil {
				_, _ = io.WriteString(w, answer)
				return
			}
		}
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *sfu) answer(offer string, prepare func(*webrtc.PeerConnection) error) (string, error) {
	pc, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	if err := prepare(pc); err != nil {
		return "", errors.Join(err, pc.Close())
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", errors.Join(err, pc.Close())
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", errors.Join(err, pc.Close())
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", errors.Join(err, pc.Close())
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// publish passes on every track of the connection.
func (s *sfu) publish(pc *webrtc.PeerConnection) error {
	pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.ID(), remote.StreamID())
		if err != nil {
			fmt.Fprintln(os.Stderr, "pion:", err)
			return
		}
		s.mu.Lock()
		s.tracks = append(s.tracks, local)
		s.mu.Unlock()
		pass(remote, local)
	})
	return nil
}

func pass(remote *webrtc.TrackRemote, local *webrtc.TrackLocalStaticRTP) {
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		if _, err := local.Write(buf[:n]); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			return
		}
	}
}

// view sends every track there is to the connection.
func (s *sfu) view(pc *webrtc.PeerConnection) error {
	for _, track := range s.all() {
		sender, err := pc.AddTrack(track)
		if err != nil {
			return err
		}
		go func() { // interceptors work while somebody reads
			buf := make([]byte, maxDatagram)
			for {
				if _, _, err := sender.Read(buf); err != nil {
					return
				}
			}
		}()
	}
	return nil
}
