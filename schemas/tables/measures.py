"""What is measured of a clip: one row type for each measure, its columns with unit and meaning.

Stream measures are columns of `clips`. The expensive clip measures, and any measure that is computed again later, have
a table of their own under `measures/`, keyed by clip and fingerprint. A score is null where it has no meaning for a
clip, such as motion for a still image.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import pyarrow as pa

from schemas.columns import FAILED_FOR_NOW, FAILED_SO_OFTEN, Table, column


@dataclass(frozen=True, kw_only=True, slots=True)
class Technical:
    """Technical quality: light, colour, detail, and what compression left."""

    brightness: float | None = column(pa.float64(), "mean luma over every frame, 0 black to 1 white")
    contrast: float | None = column(
        pa.float64(), "RMS contrast: standard deviation of luma in [0, 1] inside black borders; mean over samples"
    )
    clipped_frac: float | None = column(
        pa.float64(), "share of full-size pixels within 1% of black or white, inside black borders; mean over samples"
    )
    colourfulness: float | None = column(
        pa.float64(), "Hasler and Suesstrunk's M3: 0 grey, 33 moderate, 59 quite colourful; mean over samples"
    )
    sharpness: float | None = column(
        pa.float64(),
        "variance of the Laplacian of full-size luma (0-255) inside black borders, less 20 noise_sigma^2; mean",
    )
    noise_sigma: float | None = column(
        pa.float64(),
        "standard deviation of the noise (Immerkaer, flattest blocks) in levels of 0-255; mean over samples",
    )
    blockiness: float | None = column(
        pa.float64(), "mean luma step across the 8 px grid over that off it, 1 without blocks; mean over samples"
    )
    bits_per_pixel: float | None = column(
        pa.float64(), "bits of the frames' packets over their stored pixels; null if packets carry no time", unit="bit"
    )
    duplicate_frames_frac: float | None = column(
        pa.float64(), "share of frames after the first that repeat the one before; null for one frame"
    )
    frozen_s: float | None = column(
        pa.float64(), "longest time in which no cell of the picture changes; null for one frame", unit="s"
    )
    interlaced_frac: float | None = column(pa.float64(), "share of samples with combing between rows")
    flicker: float | None = column(
        pa.float64(),
        "mean over frames of the brightness swing, in [0, 1], that comes and goes within 3 frames; null under 3 frames",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """What moves, in the picture and in the stream."""

    motion_px_s: float | None = column(
        pa.float64(),
        "mean optical-flow speed at 256 px for the longer side; null if fewer than two frames",
        unit="px/s",
    )
    moving_area_frac: float | None = column(pa.float64(), "share of the picture that is faster than 2.5 px/s at 256 px")
    vector_motion: float | None = column(
        pa.float64(), "mean length of the codec's vectors over width plus height (cosmos-curate's global mean)"
    )
    vector_motion_patch_min: float | None = column(
        pa.float64(), "the least of the same over the middles of patches of 256 px (cosmos-curate's per-patch minimum)"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """How the camera moves, and what moves apart from it."""

    camera_motion: str | None = column(
        pa.string(),
        "'still', 'pan left', 'pan right', 'tilt up', 'tilt down', 'zoom in', 'zoom out', 'roll', 'shake' or 'complex'",
    )
    camera_strength: float | None = column(
        pa.float64(),
        "speed of that motion at the picture's edge, at 256 px; of shake its root mean square",
        unit="px/s",
    )
    camera_confidence: float | None = column(
        pa.float64(), "share of the textured area that moves as the camera model says"
    )
    object_motion_px_s: float | None = column(
        pa.float64(), "mean speed left when the camera's motion is taken away, at 256 px", unit="px/s"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Letterbox:
    """Which part of the frame is picture."""

    content_box: list[int] | None = column(
        pa.list_(pa.int32(), 4), "x, y, width, height of the picture inside its borders, as displayed", unit="px"
    )
    short_side_px: int | None = column(pa.int32(), "shorter side of the content box", unit="px")
    bars_frac: float | None = column(pa.float64(), "share of the frame that is border")
    border_kind: str | None = column(pa.string(), "'none', 'black', 'coloured' or 'blurred'")
    bars_change: bool | None = column(pa.bool_(), "the borders change within the clip")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tells:
    """Signs that a clip is not footage: slides, screens, countdowns, colour bars."""

    shots_per_s: float | None = column(
        pa.float64(),
        "changes of shot within 10 s around the clip's middle, over the part the video has",
        unit="1/s",
    )
    black_frac: float | None = column(
        pa.float64(), "share of samples with 98% of the pixels within 10% of black (FFmpeg's blackdetect)"
    )
    colour_bars_frac: float | None = column(
        pa.float64(), "share of samples that show the six hues of SMPTE's, EBU's or testsrc's bars, in their order"
    )
    countdown_frac: float | None = column(
        pa.float64(), "share of samples that show a film leader: circles about the middle with cross hairs or a sweep"
    )
    slideshow: float | None = column(
        pa.float64(),
        "share of samples in which the picture stands still, or drifts as one among other slides; null if under two",
    )
    screen_recording: float | None = column(
        pa.float64(),
        "0 to 1: flat areas, few levels, axial edges, thin strokes and still pixels, as a recorded screen has them",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """What identifies copies of a clip."""

    content_digest: str | None = column(
        pa.string(), "hash of all decoded frames, reduced to the work side: equal for equal pictures in any container"
    )
    video_hash: bytes | None = column(
        pa.binary(),
        "hashes of the kept frames in the order of time, 8 bytes each, the first row of blocks in the first byte: which"
        " blocks of an 8x8 grid inside the borders are brighter than their surroundings",
    )
    video_hash_contrasts: bytes | None = column(
        pa.binary(),
        "of the same frames, 64 bytes each: by how many levels each block is brighter than its surroundings, int8",
    )
    video_hash_times_us: list[int] | None = column(
        pa.list_(pa.int32()), "times of those frames from the clip's start", unit="us"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OverlayText:
    """Text laid over the picture, apart from text in the scene."""

    overlay_text_frac: float | None = column(
        pa.float64(), "largest share of the content box at a time under boxes around overlaid lines of text"
    )
    overlay_kind: str | None = column(
        pa.string(), "'none', 'subtitle', 'ticker', 'watermark' or 'title card': the one with most area"
    )
    overlay_texts: list[str] | None = column(
        pa.list_(pa.string()), "what the overlays say, each text once; only Latin, Greek and CJK letters are read"
    )
    scene_text_frac: float | None = column(
        pa.float64(), "largest share at a time under other text: text that moves, or is elsewhere in a still picture"
    )
    logo_frac: float | None = column(
        pa.float64(), "share under logos without text that stay in a corner while the picture moves; 0 if it is still"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """Which model embedded the clip; the vector itself is in the table `embeddings`."""

    encoder: str | None = column(pa.string(), "fingerprint of the embedding model")


@dataclass(frozen=True, kw_only=True, slots=True)
class Aesthetic:
    """How much people like the pictures, by a head on an open_clip model."""

    aesthetic: float | None = column(pa.float64(), "mean over frames of the head's score (LAION: 1 to 10)")
    aesthetic_min: float | None = column(pa.float64(), "lowest over frames of the head's score")


@dataclass(frozen=True, kw_only=True, slots=True)
class Safety:
    """What a classifier of unsafe pictures says of the frames."""

    nsfw: float | None = column(pa.float64(), "largest probability of the unsafe label over frames, 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Which clip a row is about, and by which version of the measure."""

    clip_id: str = column(pa.string(), "the clip")
    measure: str = column(pa.string(), "fingerprint of the measure: its code's version, settings and models")
    shown_box: list[int] | None = column(
        pa.list_(pa.int32()),
        "content box of the frames it was taken from; null for a measure of the decode pass",
        unit="px",
    )
    failure: str | None = column(pa.string(), "why it could not be measured")
    transient: bool | None = column(pa.bool_(), FAILED_FOR_NOW)
    num_failures: int | None = column(pa.int32(), FAILED_SO_OFTEN)


STREAM_MEASURES: dict[str, type] = {
    "technical": Technical,
    "motion": Motion,
    "camera": Camera,
    "letterbox": Letterbox,
    "tells": Tells,
    "fingerprint": Fingerprint,
}
"""Measured while the video streams past, in the order of their columns in `clips`."""

CLIP_MEASURES: dict[str, type] = {
    "overlay_text": OverlayText,
    "embedding": Embedded,
    "aesthetic": Aesthetic,
    "safety": Safety,
}
"""Measured on frames read again, of clips that the others have left in."""

MEASURE_OF: dict[str, str] = {
    field.name: name for name, row_type in (STREAM_MEASURES | CLIP_MEASURES).items() for field in fields(row_type)
}
"""Which measure a column belongs to."""


def columns_of(measure: str) -> tuple[str, ...]:
    """The columns of a measure, in order."""
    return tuple(field.name for field in fields((STREAM_MEASURES | CLIP_MEASURES)[measure]))


def measure_table(measure: str, row_type: type) -> Table:
    """The table of a measure's scores of clips, where they are not columns of `clips`."""
    former = {"measured_us": "written_us"}
    return Table(Measured, f"measures/{measure}", key=("clip_id", "measure"), parts=(row_type,), formerly=former)


MEASURES: dict[str, Table] = {
    name: measure_table(name, row_type) for name, row_type in (STREAM_MEASURES | CLIP_MEASURES).items()
}
"""The tables of all measures."""
