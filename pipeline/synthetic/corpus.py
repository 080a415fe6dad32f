"""Draw a corpus of video files whose truth is known: `python -m pipeline.synthetic.corpus --out FOLDER`.

FOLDER/videos/        the files, whole and broken
FOLDER/inputs.jsonl   one line a file: uri, title, alt_text, licence
FOLDER/truth.json     what is true of them (`truth.py`); the pipeline does not read it
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from pipeline.synthetic import defects
from pipeline.synthetic.assemble import Script, Shot, frames, video_truth
from pipeline.synthetic.encode import Encoding, decoded, encode, repeat_packets, resized, save_image
from pipeline.synthetic.overlays import logo
from pipeline.synthetic.programme import STYLES, Style, cast, frames_per_s, num_turns, write_long_script, write_script
from pipeline.synthetic.truth import Truth, VideoTruth

LICENCE = "CC0-1.0"
IMAGES = (("image.png", 200, 150), ("image_portrait.jpg", 120, 160))
CUT_SHORT_STYLE = Style(
    "cut_short", 160, 120, 15, Encoding(".webm", "libvpx"), roles=("plain", "plain"), joints=("cut",)
)
LONG_SHOT_S, LONG_NUM_SHOTS = 4.0, 6

Progress = Callable[[str, int, int], None]
"""Called with a file's name, how many files are done, and how many there will be."""


def draw_corpus(
    folder: Path, *, seed: int = 0, num_videos: int = len(STYLES), progress: Progress | None = None
) -> Truth:
    """Draw a corpus and write its list and its truth; a file of the same name is replaced.

    Args:
        num_videos: how many different videos, in the order of STYLES and then again with other scenes. Always added:
            three copies of the first (the same bytes, encoded again, and in other colours), two images, five broken
            files, and one that breaks off before its end.
    Raises:
        ValueError: `num_videos` is below 1.
    """
    if num_videos < 1:
        raise ValueError(f"a corpus has at least one video, not {num_videos}")
    drawing = _Drawing(folder, seed)
    drawing.videos_dir.mkdir(parents=True, exist_ok=True)
    plan = drawing.plan(num_videos)
    truths = []
    for index, (file, draw) in enumerate(plan.items()):
        truths.append(draw(drawing.videos_dir / file))
        if progress:
            progress(file, index + 1, len(plan))
    truth = Truth(seed, tuple(truths))
    _write_list(folder / "inputs.jsonl", drawing.videos_dir, truth)
    truth.save(folder / "truth.json")
    return truth


def draw_video(
    path: Path, *, seed: int = 0, width: int = 1280, height: int = 720, fps: int = 24, duration_s: float = 600.0
) -> VideoTruth:
    """Draw one long mp4 with a hard cut every few seconds, of at least `duration_s`.

    Six shots are drawn and encoded; then their packets are repeated, so ten minutes take little longer than six shots.
    """
    turns = num_turns(duration_s, LONG_SHOT_S * LONG_NUM_SHOTS)
    script = write_long_script(
        seed, width=width, height=height, fps=fps, shot_s=LONG_SHOT_S, num_shots=LONG_NUM_SHOTS, num_turns=turns
    )
    loop = replace(script, shots=script.shots[:LONG_NUM_SHOTS], joints=script.joints[: LONG_NUM_SHOTS - 1])
    encoding = Encoding()
    part = path.with_name(f"{path.stem}.loop{encoding.suffix}")
    _encode(part, loop, encoding)
    repeat_packets(part, path, turns, loop.times_s()[-1])
    part.unlink()
    repeats = tuple(
        shot if i < LONG_NUM_SHOTS else replace(shot, near_duplicate_of=f"{path.name}#{i % LONG_NUM_SHOTS}")
        for i, shot in enumerate(script.shots)
    )
    return video_truth(replace(script, shots=repeats), path.name, encoding.time_base, codec=encoding.codec_name)


class _Drawing:
    """The files of one corpus: what each is called and how it is drawn, given its path."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self.videos_dir = folder / "videos"
        self.first_style = STYLES[0]
        self.first_file = _numbered(0, STYLES[0])

    def plan(self, num_videos: int) -> dict[str, Callable[[Path], VideoTruth]]:
        """File name -> how to draw it, in an order in which sources come before their copies."""
        plan: dict[str, Callable[[Path], VideoTruth]] = {}
        for index in range(num_videos):
            style = STYLES[index % len(STYLES)]
            plan[_numbered(index, style)] = lambda path, i=index, s=style: self.video(path, i, s)
        plan["copy_exact.mp4"] = self.exact_copy
        plan["copy_reencoded.webm"] = self.reencoded_copy
        plan["copy_retouched.mkv"] = self.retouched_copy
        for file, width, height in IMAGES:
            plan[file] = lambda path, w=width, h=height: self.image(path, w, h)
        for file, (reason, write) in defects.WITHOUT_SOURCE.items():
            plan[file] = lambda path, r=reason, w=write: _failed(path, r, w)
        plan["no_index.mp4"] = lambda path: _failed(
            path, defects.UNREADABLE, lambda p: defects.no_index(p, self.videos_dir / self.first_file)
        )
        plan["cut_short.webm"] = self.cut_short
        plan["header_only.webm"] = lambda path: _failed(
            path, defects.NO_FRAMES, lambda p: defects.header_only(p, self.videos_dir / "cut_short.webm")
        )
        return plan

    def video(self, path: Path, index: int, style: Style) -> VideoTruth:
        script = write_script(style, f"{self.seed}-{index}")
        return _encode(path, script, style.encoding)

    def first_script(self, path: Path) -> tuple[Script, Path]:
        """The first video's script, its shots marked as near duplicates, and the path of its file."""
        script = write_script(self.first_style, f"{self.seed}-0")
        shots = tuple(replace(s, near_duplicate_of=f"{self.first_file}#{i}") for i, s in enumerate(script.shots))
        return replace(script, shots=shots), path.with_name(self.first_file)

    def exact_copy(self, path: Path) -> VideoTruth:
        script, source = self.first_script(path)
        shutil.copyfile(source, path)
        encoding = self.first_style.encoding
        return video_truth(
            script, path.name, encoding.time_base, codec=encoding.codec_name, duplicate_of=self.first_file
        )

    def reencoded_copy(self, path: Path) -> VideoTruth:
        """Decoded, made smaller, and encoded again at a low quality."""
        script, source = self.first_script(path)
        small = replace(script, width=192, height=108)
        encoding = Encoding(".webm", "libvpx", options=(("crf", "40"), ("b", "200k")))
        pictures = resized(decoded(source), small.width, small.height)
        encode(path, pictures, script.times_s(), frames_per_s(script), encoding)
        return video_truth(
            small, path.name, encoding.time_base, codec=encoding.codec_name, near_duplicate_of=self.first_file
        )

    def retouched_copy(self, path: Path) -> VideoTruth:
        """The same shots a little darker, under a logo, in another codec."""
        script, _ = self.first_script(path)
        shots = tuple(replace(shot, gain=0.9) for shot in script.shots)
        script = replace(script, shots=shots, overlays=(logo(script.width, script.height),))
        return _encode(path, script, Encoding(".mkv", "mpeg4"), near_duplicate_of=self.first_file)

    def image(self, path: Path, width: int, height: int) -> VideoTruth:
        scene = cast(random.Random(f"image-{self.seed}-{path.name}"), "still", next_to=[])
        script = Script(width, height, tick_fps=25, shots=(Shot(scene, 1),))
        save_image(path, next(frames(script)))
        truth = video_truth(script, path.name, Fraction(1, 25), is_image=True)
        shot = replace(truth.shots[0], rejects=())  # an image has no duration and no motion to be rejected for
        return replace(truth, shots=(shot,), fps=None, duration_us=None)

    def cut_short(self, path: Path) -> VideoTruth:
        """A webm that breaks off within its second shot, though its header announces all of it."""
        script = write_script(CUT_SHORT_STYLE, self.seed)
        kept = script.starts[1] + script.shots[1].num_frames * 4 // 5
        encoding = CUT_SHORT_STYLE.encoding
        whole = path.with_name(path.name + ".whole.webm")
        _encode(whole, script, encoding)
        defects.cut_short(path, whole, kept)
        whole.unlink()
        cut = replace(script, num_frames_kept=kept)
        return video_truth(cut, path.name, encoding.time_base, codec=encoding.codec_name, is_damaged=True)


def _encode(path: Path, script: Script, encoding: Encoding, **facts) -> VideoTruth:
    encode(path, frames(script), script.times_s(), frames_per_s(script), encoding)
    ratio = encoding.sample_aspect_ratio
    return video_truth(
        script,
        path.name,
        encoding.time_base,
        codec=encoding.codec_name,
        rotation_deg_ccw=encoding.rotation_deg_ccw,
        sample_aspect_ratio=f"{ratio.numerator}:{ratio.denominator}",
        **facts,
    )


def _failed(path: Path, reason: str, write: Callable[[Path], None]) -> VideoTruth:
    write(path)
    return VideoTruth(path.name, status="failed", reason=reason)


def _numbered(index: int, style: Style) -> str:
    return f"{index:02d}_{style.name}{style.encoding.suffix}"


def _write_list(path: Path, videos_dir: Path, truth: Truth) -> None:
    """One line of JSON for every file, with the words that a web page might have beside it."""
    lines = []
    for video in truth.videos:
        alt_text = video.shots[0].short_caption if video.shots else ""
        title = Path(video.file).stem.replace("_", " ")
        row = {"uri": str((videos_dir / video.file).resolve()), "title": title, "alt_text": alt_text}
        lines.append(json.dumps(row | {"licence": LICENCE}))
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Command line: draw a corpus into a folder."""
    parser = argparse.ArgumentParser(description="Draw a corpus of video files whose truth is known.")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--videos", type=int, default=len(STYLES), metavar="N", help="different videos (default: %(default)s)"
    )
    options = parser.parse_args()

    def show(file: str, done: int, total: int) -> None:
        print(f"{done:3d}/{total} {file}", flush=True)

    draw_corpus(options.out, seed=options.seed, num_videos=options.videos, progress=show)


if __name__ == "__main__":
    main()
