"""Every input of the synthetic corpus and of the real videos, with the exact reasons that its clips are expected to
get.

The whole of the cheap half runs: decode pass, duplicates, rules; only the search for text, which needs models, is left
out. A line gives a file, with its own reason if it fails; the lines below it, the reasons against each of its clips.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.scan.scan import ScannedVideo
from schemas.recipe import load_recipe
from tests.pipeline.scan.accounting import account, cheap

DRAWN = """
00_cuts:
  -
  duplicate
  -
01_portrait:
  -
  -
  -
02_fade:
  -
  -
  -
03_letterbox:
  -
  -
  -
04_unusable:
  -
  too_short
  -
  still
  too_dark
05_blink:
  too_short
06_variable:
  -
  -
  -
07_rotated:
  -
  -
08_logo:
  -
  -
  -
09_ticker:
  -
  -
  -
10_pillarbox:
  -
  -
  -
11_anamorphic:
  -
  -
  -
12_single:
  -
audio_only: no_video_stream
copy_exact: copy of 00_cuts.mp4
copy_reencoded:
  duplicate
  duplicate
  duplicate
copy_retouched:
  duplicate
  -
  duplicate
cut_short:
  -
  -
empty: empty_file
header_only: no_frames
image:
  -
image_portrait:
  -
no_index: unreadable
not_a_video: unreadable
"""

REAL = """
dev01_sintel_trailer_letterbox_fades:
  too_short
  too_short
  -
  too_dark black
  too_short
  too_dark
  too_short
  too_short too_dark still blurred duplicate_frames black
  too_short
  too_short
  -
  too_short
  too_short
  -
dev02_nasa_two_video_streams:
  too_dark
  -
  -
dev03_flower_timelapse:
  -
dev04_flower_timelapse_vp8:
  duplicate
dev05_laion_slides_text_static:
  still mostly_bars too_compressed duplicate_frames frozen slideshow
  still mostly_bars too_compressed duplicate_frames frozen slideshow
  still mostly_bars too_compressed duplicate_frames frozen slideshow screen_recording
  still mostly_bars too_compressed duplicate_frames frozen slideshow
  still mostly_bars duplicate_frames frozen slideshow
  still mostly_bars too_compressed duplicate_frames frozen slideshow
  still mostly_bars too_compressed duplicate_frames frozen slideshow
  still mostly_bars too_compressed duplicate_frames frozen slideshow
dev06_rooftop_portrait_rot90_hevc_editlist:
  -
dev07_square_line_animation_60fps:
  -
dev08_asl_sign_again_person:
  -
dev09_fireplace_dog_rot180_vfr:
  -
dev10_audio_only: no_video_stream
dev11_zero_length: empty_file
dev12_corrupted_testpattern:
  corrupt blocky colour_bars
dev13_portrait_hdr10_av1:
  -
dev14_sintel_10s_subclip:
  duplicate
  too_dark black
  too_short
  too_short too_dark
"""


def test_the_drawn_corpus(scanned_corpus: dict[str, ScannedVideo], tmp_path: Path) -> None:
    assert account(scanned_corpus.values(), cheap(load_recipe("demo")), tmp_path / "ds") == DRAWN.strip()


def test_the_real_videos(scanned_footage: dict[str, ScannedVideo], tmp_path: Path) -> None:
    assert account(scanned_footage.values(), cheap(load_recipe("default")), tmp_path / "ds") == REAL.strip()
