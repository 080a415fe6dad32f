"""Where the models of this repository lie; nothing heavy is imported to find out."""

from __future__ import annotations

from pathlib import Path

BUILTIN = "builtin"
BUILTIN_CAPTIONER = "builtin (knows synthetic shapes, not footage)"
"""What tables and pages call it, so that nobody takes its captions of footage at their word."""
WEIGHTS = Path(__file__).parent / "weights"
COCA_FOLDER = WEIGHTS / "coca"
TRANSFORMER_FOLDER = WEIGHTS / "transformer"
CLIP_CONFIG_NAME = "open_clip_config.json"


def run_folder(name: str | Path) -> Path:
    """The folder of a trained transformer that `name` stands for."""
    return TRANSFORMER_FOLDER if str(name) == BUILTIN else Path(name)


def clip_folder(name: str) -> Path | None:
    """The folder in open_clip's format that `name` stands for, or None where it names something else."""
    folder = WEIGHTS / "clip" if name == BUILTIN else Path(name)
    return folder if (folder / CLIP_CONFIG_NAME).is_file() else None
