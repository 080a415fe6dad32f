"""The line that is shown while a graph runs, from the totals of its stages."""

from __future__ import annotations

from collections.abc import Callable

from jobs.steps.run import Stages


def identify_line(num_inputs: int) -> Callable[[Stages], str]:
    return lambda stages: f"identified: inputs {_rows(stages, 'identify')}/{num_inputs}"


def scan_line(num_inputs: int) -> Callable[[Stages], str]:
    def line(stages: Stages) -> str:
        scan = stages.get("scan", {"rows": 0, "seconds": 0.0})
        parts = [f"videos {scan['rows']}/{num_inputs}", f"clips {_count(stages, 'clips')}"]
        if failed := _count(stages, "videos failed"):
            parts.insert(1, f"{failed} failed")
        if scan["seconds"]:
            parts.append(f"{_count(stages, 'frames') / scan['seconds']:.0f} frames/s a task")
        return " | ".join(parts)

    return line


def remeasure_line(num_videos: int) -> Callable[[Stages], str]:
    return lambda stages: f"measured again: videos {_rows(stages, 'remeasure')}/{num_videos}"


def clip_measure_line(num_clips: int) -> Callable[[Stages], str]:
    return lambda stages: f"measured {_rows(stages, 'clip measures')}/{num_clips} clips"


def caption_line(num_clips: int) -> Callable[[Stages], str]:
    return lambda stages: f"captions {_count(stages, 'captions ')}/{num_clips}"


def caption_check_line(num_captions: int) -> Callable[[Stages], str]:
    return lambda stages: f"captions checked again {_rows(stages, 'checks of captions')}/{num_captions}"


def text_line(num_texts: int) -> Callable[[Stages], str]:
    return lambda stages: f"texts {_rows(stages, 'text')}/{num_texts}"


def latent_line(num_clips: int) -> Callable[[Stages], str]:
    return lambda stages: f"clips decoded {_rows(stages, 'frames')}, encoded {_rows(stages, 'latents')}/{num_clips}"


def _rows(stages: Stages, stage: str) -> int:
    return stages.get(stage, {"rows": 0})["rows"]


def _count(stages: Stages, prefix: str) -> int:
    """What stages have counted under names that begin so."""
    return sum(n for totals in stages.values() for name, n in totals["counts"].items() if name.startswith(prefix))
