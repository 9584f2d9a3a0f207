package system_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

const (
	janusSocket = 8188
	janusPage   = 8189
	janusMedia  = 21_000 // the first port; each stream has three
)

// janusFor brings a browser to Janus, where it asks for the layer of that number. Janus forwards what its viewer asks for.
func janusFor(layer int) func(*testing.T) (*stage, *spectator) {
	return func(t *testing.T) (*stage, *spectator) {
		t.Helper()
		s := newJanusStage(t, openWay())
		return s, s.runBrowser("janus.test.mjs", fmt.Sprint("JANUS_LAYER=", layer),
			fmt.Sprintf("JANUS_URL=ws://%s:%d", s.server, janusSocket), fmt.Sprintf("JANUS_PAGE=http://%s:%d/", s.server, janusPage))
	}
}

// newJanusStage runs Janus where a stage has its node, with a mountpoint of as many cameras and voices, which it is sent by RTP.
func newJanusStage(t *testing.T, way lab.Path) *stage {
	t.Helper()
	w := lab.NewWorld(t, lab.Path{}, "eu")
	region := w.Regions[0]
	s := &stage{t: t, world: w, node: &lab.Node{Region: region}, home: lab.NewHome(t, w, lab.Open().Over(way)), server: region.Address().String()}
	s.senders = make([]*client.Client, stageCameras)
	s.shape(way)
	region.Run(t, "janus", "--configs-folder", configureJanus(t))
	servePage(t, s)
	lab.Until(t, 20*time.Second, "Janus takes connections", func() bool {
		conn, err := region.Dial(t.Context(), fmt.Sprintf("%s:%d", s.server, janusSocket))
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	for i := range stageCameras {
		for n, file := range []string{"q.ivf", "h.ivf", "f.ivf"} {
			feedRTP(t, s, file, janusMedia+3*i+n, 100, 90_000, &codecs.VP8Payloader{EnablePictureID: true})
		}
		time.Sleep(time.Second / stageCameras)
	}
	for i := range stageVoices {
		feedRTP(t, s, "voice.ogg", janusMedia+3*(stageCameras+i), 111, 48_000, &codecs.OpusPayloader{})
	}
	return s
}

// configureJanus writes a folder of configuration.
func configureJanus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var media []string
	for i := range stageCameras {
		port := janusMedia + 3*i
		media = append(media, fmt.Sprintf(`{ type = "video", mid = "v%d", label = "camera", port = %d, port2 = %d, port3 = %d, simulcast = true, pt = 100, codec = "vp8" }`,
			i, port, port+1, port+2))
	}
	for i := range stageVoices {
		media = append(media, fmt.Sprintf(`{ type = "audio", mid = "a%d", label = "voice", port = %d, pt = 111, codec = "opus" }`, i, janusMedia+3*(stageCameras+i)))
	}
	for name, content := range map[string]string{
		"janus.jcfg": fmt.Sprintf(`general: { configs_folder = %q, debug_level = 3 }
plugins: { disable = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_lua.so,libjanus_sip.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so,libjanus_echotest.so" }
transports: { disable = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so" }
`, dir),
		"janus.transport.websockets.jcfg": fmt.Sprintf("general: { ws = true, ws_port = %d }\n", janusSocket),
		"janus.plugin.streaming.jcfg":     "cameras: { type = \"rtp\", id = 1, media = (\n" + strings.Join(media, ",\n") + "\n) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// servePage serves an empty page in the region, for the browser to be somewhere.
func servePage(t *testing.T, s *stage) {
	t.Helper()
	var listener net.Listener
	err := s.node.Region.Do(func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(s.server, strconv.Itoa(janusPage))) //nolint:noctx // it is closed with the server
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Janus</title>")
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
}

// feedRTP sends a clip to a port of the region, again and again, until the test is over.
func feedRTP(t *testing.T, s *stage, file string, port int, payloadType uint8, clock uint32, payloader rtp.Payloader) {
	t.Helper()
	clip, err := client.LoadClip(filepath.Join(lab.Root(t), "bench", "reel", "clips", file))
	if err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	err = s.node.Region.Do(func() (err error) {
		conn, err = net.Dial("udp4", net.JoinHostPort(s.server, strconv.Itoa(port))) //nolint:noctx // there is nothing to wait for
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close()
		packets := rtp.NewPacketizer(1200, payloadType, rand.Uint32(), payloader, rtp.NewRandomSequencer(), clock)
		begun, last, from := time.Now(), time.Duration(0), clip.Loop()
		for {
			frame, err := from.Next()
			if err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Until(begun.Add(frame.At))):
			}
			samples := uint32((frame.At - last).Seconds() * float64(clock))
			last = frame.At
			packets.SkipSamples(samples)
			for _, p := range packets.Packetize(frame.Data, 0) {
				if raw, err := p.Marshal(); err == nil {
					_, _ = conn.Write(raw) // a port that nobody has yet loses it
				}
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}
