"""Every input of the synthetic corpus and of the real videos, with the exact reasons that its clips are expected to
get.

The whole of the cheap half runs: decode pass, duplicates, rules; only the search for text, which needs models, is left
out. A line gives a file, with its own reason if it fails; the lines below it, the reasons against each of its clips.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dedup.dataset import group_duplicates
from pipeline.ingest.byte_identical import mark_duplicates
from pipeline.ingest.inputs import list_inputs
from pipeline.rules.clips import judge_clips
from pipeline.rules.decisions import write_decisions
from pipeline.scan.scan import ScanConfig, scan
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CLIPS, VIDEOS
from schemas.recipe import Recipe, load_recipe

FOOTAGE = Path(__file__).parents[4] / "shared" / "videos"

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
  -
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


def cheap(recipe: Recipe) -> Recipe:
    """A recipe without the rules that need models."""
    return replace(recipe, rules={name: rule for name, rule in recipe.rules.items() if name != "max_overlay_text"})


def account(inputs: list[str], recipe: Recipe, folder: Path) -> str:
    """Curate as far as the rules go, and say in a line a file what became of it."""
    dataset = Dataset(str(folder))
    for listed in mark_duplicates(list_inputs(inputs).inputs, []):
        scanned = scan(listed, ScanConfig.of(recipe))
        dataset.write_part(CLIPS, scanned.clips)
        dataset.write_part(VIDEOS, [scanned.video])
    group_duplicates(dataset, recipe.duplicates)
    write_decisions(dataset, judge_clips(dataset, recipe), recipe)
    connection = connect(dataset)
    clips = defaultdict(list)
    for uri, reasons in connection.execute("select uri, reasons from clips order by uri, start_us").fetchall():
        clips[uri].append(f"\n  {' '.join(reasons) or '-'}")
    lines = []
    videos = connection.execute("select uri, reason, duplicate_of from videos order by uri").fetchall()
    for uri, reason, copy_of in videos:
        fate = f" {reason}" if reason else f" copy of {Path(copy_of).name}" if copy_of else "".join(clips[uri])
        lines.append(f"{Path(uri).name.partition('.')[0]}:{fate}")
    return "\n".join(lines)


def test_the_drawn_corpus(drawn_corpus: Path, tmp_path: Path) -> None:
    found = account([str(drawn_corpus / "inputs.jsonl")], cheap(load_recipe("demo")), tmp_path / "ds")
    assert found == DRAWN.strip()


@pytest.mark.skipif(not (FOOTAGE / "manifest.json").is_file(), reason=f"no videos in {FOOTAGE}")
def test_the_real_videos(tmp_path: Path) -> None:
    assert account([str(FOOTAGE)], cheap(load_recipe("default")), tmp_path / "ds") == REAL.strip()
