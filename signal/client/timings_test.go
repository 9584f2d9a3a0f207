package client

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTimings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		w := newStopwatch(60 * ms)
		time.Sleep(time.Hour) // between the join call and Run
		w.begin()
		w.iceConnected() // before the answer: means nothing
		time.Sleep(30 * ms)
		w.socketOpen(30 * ms)
		time.Sleep(20 * ms)
		w.answered(20 * ms)
		time.Sleep(50 * ms)
		w.iceConnected()
		time.Sleep(40 * ms)
		w.dtlsConnected()
		time.Sleep(10 * ms)
		w.firstAudio()
		time.Sleep(5 * ms)
		w.firstVideo()
		time.Sleep(time.Second)
		w.answered(9 * ms) // a later offer
		w.iceConnected()   // an ICE restart
		w.firstAudio()
		want := Timings{
			Join: 60 * ms, WebSocket: 30 * ms, OfferAnswer: 20 * ms, ICE: 50 * ms, DTLS: 40 * ms,
			FirstAudio: 210 * ms, FirstVideo: 215 * ms,
		}
		if got := w.snapshot(); got != want {
			t.Errorf("timings = %+v\nwant      %+v", got, want)
		}
	})
}
