"""What becomes of every clip of scanned videos, in a line each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.dedup.dataset import group_duplicates
from pipeline.rules.clips import judge_clips
from pipeline.rules.decisions import write_decisions
from pipeline.scan.scan import ScannedVideo
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CLIPS, VIDEOS
from schemas.recipe import Recipe
from schemas.rules import reasons_against


def cheap(recipe: Recipe) -> Recipe:
    """A recipe without the rules that need models."""
    return replace(recipe, rules={name: rule for name, rule in recipe.rules.items() if name != "max_overlay_text"})


def reasons_of(clip: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """Why a clip just scanned is rejected, as far as that is known from its stream measures."""
    return reasons_against({name: rule for name, rule in recipe.rules.items() if rule.column in clip}, clip)


def account(scans: Iterable[ScannedVideo], recipe: Recipe, folder: Path) -> str:
    """Judge scanned videos as far as the cheap rules go, and say in a line a file what became of it."""
    dataset = Dataset(str(folder))
    originals: dict[str | None, str] = {}
    for scanned in scans:
        uri, video_id = scanned.video["uri"], scanned.video["video_id"]
        original = originals.setdefault(video_id, uri)
        dataset.write_part(CLIPS, scanned.clips if original == uri or not video_id else [])
        dataset.write_part(
            VIDEOS, [scanned.video | {"duplicate_of": original if video_id and original != uri else None}]
        )
    group_duplicates(dataset, recipe.duplicates)
    write_decisions(dataset, judge_clips(connect(dataset), recipe), recipe)
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
