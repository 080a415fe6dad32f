"""What `reelmill encode` would do and what it would cost; nothing is written, and Ray is not started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.dataset
from rich.console import Console
from rich.table import Table

from model.codec.spec import CodecSpec
from pipeline.encode.forecast import as_dict, forecast, workload
from pipeline.encode.wanted import wanted_clips, wanted_texts
from pipeline.store.dataset import Dataset
from pipeline.store.pending import bounded, latents_query, texts_query
from pipeline.store.retrying import Retrying
from schemas.recipe import Recipe

MIB = 1 << 20
MAX_SIZES_SHOWN = 12


@dataclass(frozen=True)
class Encoders:
    """What says which latents and texts of a release are wanted, and in which caches they are."""

    codec: CodecSpec
    text_encoder: str
    transform: str
    single_frames: tuple[str, ...] = ()

    @property
    def autoencoder(self) -> str:
        return self.codec.fingerprint


def foresee(
    dataset: Dataset, released: pyarrow.dataset.Dataset, encoders: Encoders, recipe: Recipe, *, all_failures: bool
) -> dict[str, Any]:
    """What is missing of a release, and what it would cost to make it."""
    config = recipe.encode
    connection = bounded(dataset)
    retrying = Retrying.of(recipe.limits, "", all_failures=all_failures)
    wanted = wanted_clips(released, encoders.transform, config.single_frames)
    clips = latents_query(connection, wanted, encoders.autoencoder, retrying)
    texts = texts_query(connection, wanted_texts(released), encoders.text_encoder)
    work = workload(connection, clips, texts, config, encoders.codec)
    connection.close()
    from pipeline.ray_graphs.encode_trial import held_bytes, trial  # imports Ray

    cost = forecast(work, trial(work, config), held_bytes(work), config.num_actors)
    return as_dict(work) | asdict(cost)


def print_foreseen(found: Mapping[str, Any]) -> None:
    """Print it, with a line for each of the most frequent sizes."""
    alone = f"{found['single_frames']} single frames, " if found["single_frames"] else ""
    print(
        f"release {found['release']}: to encode {found['clips']} clips of {found['videos']} videos, "
        f"{alone}{found['texts']} texts\n"
        f"  frames {found['frames']}, {found['frames_padded']} padded, {found['frames_cut']} more beyond "
        f"encode.max_frames; reduced in size {found['clips_reduced']} clips, too long for encode.max_tokens "
        f"{found['clips_too_long']}\n"
        f"  tokens {found['tokens']}, latents {found['latent_bytes'] / MIB:.2f} MiB, "
        f"embeddings about {found['text_bytes'] / MIB:.2f} MiB\n"
        f"  codec and text encoder about {found['seconds']:.1f} s, as measured here; memory of an actor about "
        f"{found['latent_peak_bytes'] / MIB:.0f} MiB, of the one for texts {found['text_peak_bytes'] / MIB:.0f} MiB"
    )
    if not found["shapes"]:
        return
    table = Table("frames", "width", "height", "clips", title="sizes as encoded", title_justify="left")
    for column in table.columns:
        column.justify = "right"
    for shape in found["shapes"][:MAX_SIZES_SHOWN]:
        table.add_row(*map(str, (*shape["encoded"], shape["clips"])))
    Console(highlight=False).print(table)
    if more := found["shapes"][MAX_SIZES_SHOWN:]:
        print(f"and {len(more)} more sizes of {sum(shape['clips'] for shape in more)} clips")
