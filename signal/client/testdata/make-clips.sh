#!/bin/sh
# Makes the small clips that tests and demonstrations publish: a moving test picture in three sizes, VP8 and H.264, and a
# tone in Opus. Needs ffmpeg (apt-get install -y ffmpeg). A keyframe comes each second, so that one asked for is near.
set -eu
cd "$(dirname "$0")"
seconds=4
rate=15
for layer in q:160x90:40k h:320x180:90k f:640x360:220k; do
	name=${layer%%:*}
	rest=${layer#*:}
	size=${rest%:*}
	bits=${rest#*:}
	picture="testsrc2=size=$size:rate=$rate:duration=$seconds"
	ffmpeg -v error -y -f lavfi -i "$picture" -c:v libvpx -deadline good -cpu-used 2 \
		-b:v "$bits" -maxrate "$bits" -bufsize "$bits" -g "$rate" -keyint_min "$rate" -auto-alt-ref 0 -lag-in-frames 0 \
		-error-resilient 1 -threads 1 -fflags +bitexact -flags:v +bitexact "vp8-$name.ivf"
	ffmpeg -v error -y -f lavfi -i "$picture" -c:v libx264 -profile:v baseline -pix_fmt yuv420p -preset slow \
		-b:v "$bits" -maxrate "$bits" -bufsize "$bits" -bf 0 \
		-x264-params "keyint=$rate:min-keyint=$rate:scenecut=0:slices=1:repeat-headers=1:threads=1" \
		-fflags +bitexact -flags:v +bitexact -f h264 "h264-$name.h264"
done
ffmpeg -v error -y -f lavfi -i "sine=frequency=440:sample_rate=48000:duration=$seconds" -c:a libopus -b:a 24k -ac 1 \
	-frame_duration 20 -page_duration 20000 -fflags +bitexact -flags:a +bitexact "tone.ogg"
# One with three temporal layers, of which pictures are 0, 2, 1, 2 and so on: each refers to the last of layer 0 and, the fourth
# of four, to the one of layer 1 before it. The first picture is the only keyframe.
ffmpeg -v error -y -f lavfi -i "testsrc2=size=320x180:rate=30:duration=6" -c:v libvpx -deadline good -cpu-used 2 \
	-b:v 120k -maxrate 120k -bufsize 120k -g 1000 -keyint_min 1000 -auto-alt-ref 0 -lag-in-frames 0 \
	-error-resilient 1 -threads 1 -ts-parameters \
	ts_number_layers=3:ts_target_bitrate=60,85,120:ts_rate_decimator=4,2,1:ts_periodicity=4:ts_layer_id=0,2,1,2:ts_layering_mode=3 \
	-fflags +bitexact -flags:v +bitexact "vp8-t.ivf"
