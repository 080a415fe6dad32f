"""What is true of a synthetic corpus: what probing, cuts, rules and captions of its files are checked against.

Frame indices are 0-based in presentation order and a span's end is one past its last frame; a cut is the first frame
of the new shot (PySceneDetect counts the same way). Microseconds are presentation time as the container stores it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.synthetic.world import Scene


@dataclass(frozen=True)
class Cut:
    """A hard cut: the first frame of the new shot, and when it is shown."""

    frame: int
    pts_us: int


@dataclass(frozen=True)
class Transition:
    """A gradual change, `dissolve`, `fade_out` or `fade_in`, over `first_frame` to `last_frame`, both included."""

    kind: str
    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class Overlay:
    """Something laid over the picture: a `logo`, which stays, or a `ticker`, whose text runs from right to left."""

    kind: str
    text: str
    box: tuple[int, int, int, int]
    """x, y, width, height in displayed pixels."""


@dataclass(frozen=True)
class ShotTruth:
    """One shot as far as it can be seen in its file.

    `rejects` are the columns of the clips table by which a rule must reject it; by those of `may_reject` it may or may
    not, since the shot is near the threshold. Between `clear_start_frame` and `clear_end_frame` no transition touches
    it.
    """

    index: int
    start_frame: int
    end_frame: int
    clear_start_frame: int
    clear_end_frame: int
    start_us: int
    end_us: int
    scene: Scene
    short_caption: str
    detailed_caption: str
    content_box: tuple[int, int, int, int] | None = None
    rejects: tuple[str, ...] = ()
    may_reject: tuple[str, ...] = ()
    near_duplicate_of: str | None = None
    """`file#index` of the shot that shows the same, in an earlier file."""


@dataclass(frozen=True)
class VideoTruth:
    """One input file. Sizes are as displayed; a file with status `failed` has a `reason` and no other facts."""

    file: str
    status: str
    reason: str | None = None
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    """Frames per second on average; absent for an image."""
    duration_us: int | None = None
    rotation_deg_ccw: int = 0
    """How far the stored picture is turned counter-clockwise to be displayed."""
    sample_aspect_ratio: str = "1:1"
    variable_frame_rate: bool = False
    is_image: bool = False
    is_damaged: bool = False
    """Decodes up to `num_frames`, then breaks off before the end that its header announces."""
    codec: str | None = None
    cuts: tuple[Cut, ...] = ()
    transitions: tuple[Transition, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    shots: tuple[ShotTruth, ...] = ()
    duplicate_of: str | None = None
    """The file whose bytes these are too."""
    near_duplicate_of: str | None = None
    """The file that shows the same in other bytes."""

    def shot_at(self, start_us: int, end_us: int) -> ShotTruth | None:
        """The shot that a clip shows most of, or None where it shows no shot. An image is one shot at any time."""
        if self.is_image:
            return self.shots[0]
        overlaps = [(min(end_us, s.end_us) - max(start_us, s.start_us), -s.index, s) for s in self.shots]
        best = max(overlaps, default=None)
        return best[2] if best and best[0] > 0 else None


@dataclass(frozen=True)
class Truth:
    """A synthetic corpus: every file in `videos/`, in the order of the list `inputs.jsonl`."""

    seed: int
    videos: tuple[VideoTruth, ...]

    def video(self, file: str) -> VideoTruth:
        """The truth about one file, by its name.

        Raises:
            KeyError: no such file in the corpus.
        """
        for video in self.videos:
            if video.file == file:
                return video
        raise KeyError(file)

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all."""
        part = path.with_name(path.name + ".part")
        part.write_bytes(_JSON.dump_json(self, indent=1) + b"\n")
        part.replace(path)

    @staticmethod
    def load(path: Path) -> Truth:
        """Read what `save` wrote.

        Raises:
            pydantic.ValidationError: the file is not a truth file.
        """
        return _JSON.validate_json(path.read_bytes())


_JSON = TypeAdapter(Truth)
