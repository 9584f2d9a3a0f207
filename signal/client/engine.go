package client

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	iceDisconnected = 3 * time.Second // without a packet before the path counts as lost
	iceFailed       = 10 * time.Second
	iceKeepalive    = 500 * time.Millisecond // between checks; a NAT's new mapping is found by the next one
	resendWindow    = 512                    // packets kept a layer to answer NACKs
	feedbackEvery   = 50 * time.Millisecond  // between accounts of what came, as browsers send them that get pictures
)

// sockets are the ways of one connection to the network.
type sockets struct {
	net    *relayNet
	tcp    *tcpMux
	relays *relayDialer // over TCP and TLS

	end context.CancelFunc // what is dialled is given up then
}

func newSockets(ticket Ticket, opts Options) (sockets, error) {
	own, err := newRelayNet(opts.Net)
	if err != nil {
		return sockets{}, err
	}
	ctx, end := context.WithCancel(context.Background())
	return sockets{own, newTCPMux(ctx, dialer{opts.Net}), newRelayDialer(ctx, opts, ticket.ICEServers), end}, nil
}

// close gives up what leads nowhere; the connection closes the rest.
func (s sockets) close() {
	s.end()
	s.net.end()
}

// newAPI sets pion up for one client.
func newAPI(opts Options, sockets sockets) (*webrtc.API, error) {
	engine, err := newMediaEngine()
	if err != nil {
		return nil, fmt.Errorf("media engine: %w", err)
	}
	registry, err := newInterceptors()
	if err != nil {
		return nil, fmt.Errorf("interceptors: %w", err)
	}
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(engine),
		webrtc.WithInterceptorRegistry(registry),
		webrtc.WithSettingEngine(newSettings(opts, sockets)),
	), nil
}

func newSettings(opts Options, sockets sockets) webrtc.SettingEngine {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	opts.Transport.configure(&s)
	s.DisableActiveTCP(true) // in favour of sockets, which are opened where the client says
	s.SetICETCPMux(sockets.tcp)
	s.SetICEProxyDialer(sockets.relays)
	s.SetNet(sockets.net)
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepalive)
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetFireOnTrackBeforeFirstRTP(true) // a slot has its reader before it has a packet
	if opts.tune != nil {
		opts.tune(&s)
	}
	return s
}

func newMediaEngine() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	for _, c := range knownCodecs() {
		for _, params := range c.parameters() {
			if err := m.RegisterCodec(params, c.kind); err != nil {
				return nil, err
			}
		}
	}
	const audio, video = webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo
	extensions := []struct {
		uri        string
		kinds      []webrtc.RTPCodecType
		directions []webrtc.RTPTransceiverDirection // none: both
	}{
		{uri: sdp.SDESMidURI, kinds: []webrtc.RTPCodecType{audio, video}},
		{uri: sdp.AudioLevelURI, kinds: []webrtc.RTPCodecType{audio}},
		{uri: sdp.SDESRTPStreamIDURI, kinds: []webrtc.RTPCodecType{video}},
		{uri: sdp.SDESRepairRTPStreamIDURI, kinds: []webrtc.RTPCodecType{video}},
		{
			uri: sdp.TransportCCURI, kinds: []webrtc.RTPCodecType{audio, video},
			directions: []webrtc.RTPTransceiverDirection{webrtc.RTPTransceiverDirectionRecvonly},
		},
	}
	for _, ext := range extensions {
		for _, kind := range ext.kinds {
			capability := webrtc.RTPHeaderExtensionCapability{URI: ext.uri}
			if err := m.RegisterHeaderExtension(capability, kind, ext.directions...); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// newInterceptors has what pion does for the client on each packet. The first is closest to the wire. Sender reports and
// NACKs are the client's own: pion's know neither the source's clock nor that a retransmission has arrived.
func newInterceptors() (*interceptor.Registry, error) {
	registry := &interceptor.Registry{}
	registry.Add(repairMarker{})
	responder, err := nack.NewResponderInterceptor(nack.ResponderSize(resendWindow))
	if err != nil {
		return nil, err
	}
	registry.Add(responder)
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	registry.Add(reports)
	// It calls it an error that a connection is closed.
	feedback, err := twcc.NewSenderInterceptor(twcc.SendInterval(feedbackEvery), twcc.WithLoggerFactory(&logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}))
	if err != nil {
		return nil, err
	}
	registry.Add(feedback)
	return registry, nil
}

// repairMarker gives retransmissions their own header extension: a packet copied into the retransmission stream carries
// the rid of the stream it repairs as repaired-rtp-stream-id (RFC 8852, section 3.2), or the receiver would take it for
// the stream itself.
type repairMarker struct{ interceptor.NoOp }

// NewInterceptor makes the interceptor of one peer connection; it has no state to keep apart.
func (m repairMarker) NewInterceptor(string) (interceptor.Interceptor, error) { return &m, nil }

// BindLocalStream wraps the writer of a stream that has retransmissions and a rid.
func (m *repairMarker) BindLocalStream(info *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	var rid, repaired uint8
	for _, ext := range info.RTPHeaderExtensions {
		switch ext.URI {
		case sdp.SDESRTPStreamIDURI:
			rid = uint8(ext.ID)
		case sdp.SDESRepairRTPStreamIDURI:
			repaired = uint8(ext.ID)
		}
	}
	if rid == 0 || repaired == 0 || info.SSRCRetransmission == 0 {
		return next
	}
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if name := h.GetExtension(rid); h.SSRC == info.SSRCRetransmission && name != nil {
			marked := h.Clone()
			if err := marked.DelExtension(rid); err != nil {
				return 0, fmt.Errorf("mark retransmission: %w", err)
			}
			if err := marked.SetExtension(repaired, name); err != nil {
				return 0, fmt.Errorf("mark retransmission: %w", err)
			}
			h = &marked
		}
		return next.Write(h, payload, a)
	})
}
