#!/bin/sh
# Makes the clips that swarm's publishers send: a moving picture of 30 frames a second in three sizes, about 1.7 Mbit/s in all, in
# VP8 (*.ivf) and H.264 constrained baseline (*.264), and a voice-like tone in Opus. A keyframe comes every second. Needs
# ffmpeg with libvpx, libx264 and libopus (apt-get install -y ffmpeg); the same ffmpeg makes the same files.
set -eu
cd "$(dirname "$0")"
rate=30
exact="-threads 1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact"
for layer in q:320x180:150k h:640x360:450k f:1280x720:1100k; do
	name=${layer%%:*}
	rest=${layer#*:}
	size=${rest%:*}
	bits=${rest#*:}
	# shellcheck disable=SC2086
	ffmpeg -v error -y -f lavfi -i "testsrc2=size=$size:rate=$rate:duration=2" -c:v libvpx -deadline good -cpu-used 2 \
		-b:v "$bits" -minrate "$bits" -maxrate "$bits" -bufsize "$bits" -g "$rate" -keyint_min "$rate" -auto-alt-ref 0 \
		-lag-in-frames 0 -error-resilient 1 $exact "$name.ivf"
	# One slice a picture, no B frames, and no SEI: that is what real-time encoders send, and what the client reads.
	# shellcheck disable=SC2086
	ffmpeg -v error -y -f lavfi -i "testsrc2=size=$size:rate=$rate:duration=1" -c:v libx264 -pix_fmt yuv420p -profile:v baseline \
		-preset veryfast -tune zerolatency -x264-params "slices=1:sliced-threads=0:scenecut=0:aud=0:repeat-headers=1" \
		-b:v "$bits" -maxrate "$bits" -bufsize "$bits" -g "$rate" -keyint_min "$rate" -bsf:v filter_units=remove_types=6 $exact "$name.264"
done
# shellcheck disable=SC2086
ffmpeg -v error -y -f lavfi -i "sine=frequency=220:sample_rate=48000:duration=2" -c:a libopus -b:a 32k -vbr off -ac 1 \
	-frame_duration 20 -page_duration 20000 $exact voice.ogg
