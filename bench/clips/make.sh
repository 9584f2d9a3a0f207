#!/bin/sh
# Makes the clips that swarm's publishers send: a moving picture of 30 frames a second in three sizes of VP8, about 1.7 Mbit/s
# in all, and a voice-like tone in Opus. Needs ffmpeg (apt-get install -y ffmpeg). A keyframe comes every second.
set -eu
cd "$(dirname "$0")"
seconds=2
rate=30
for layer in q:320x180:150k h:640x360:450k f:1280x720:1100k; do
	name=${layer%%:*}
	rest=${layer#*:}
	size=${rest%:*}
	bits=${rest#*:}
	ffmpeg -v error -y -f lavfi -i "testsrc2=size=$size:rate=$rate:duration=$seconds" -c:v libvpx -deadline good -cpu-used 2 \
		-b:v "$bits" -minrate "$bits" -maxrate "$bits" -bufsize "$bits" -g "$rate" -keyint_min "$rate" -auto-alt-ref 0 \
		-lag-in-frames 0 -error-resilient 1 -threads 1 -fflags +bitexact -flags:v +bitexact "$name.ivf"
done
ffmpeg -v error -y -f lavfi -i "sine=frequency=220:sample_rate=48000:duration=$seconds" -c:a libopus -b:a 32k -vbr off -ac 1 \
	-frame_duration 20 -page_duration 20000 -fflags +bitexact -flags:a +bitexact voice.ogg
