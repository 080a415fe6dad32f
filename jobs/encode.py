"""`reelmill encode`: a release as latents and text embeddings, cached by content."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import pyarrow as pa
from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.naming import naming
from jobs.console.options import NO_CHANGES, DatasetLocation, Json, RecipeOptions, ReleaseName, RetryFailed
from jobs.console.summary import print_json
from jobs.steps.progress_lines import latent_line, text_line
from jobs.steps.run import Run
from jobs.training.texts import release_texts
from model.codec.spec import CodecSpec, codec_spec
from model.readers.text_encoder_spec import text_encoder_spec
from pipeline.encode.arrays import StoredArrays
from pipeline.encode.latents import OK, clip_transform
from pipeline.release import releases
from pipeline.release.releases import Release
from pipeline.store.dataset import Dataset
from pipeline.store.pending import pending_latents, pending_texts
from pipeline.store.plans import Plan
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import LATENTS, TEXT
from schemas.recipe.encode import EncodeConfig
from schemas.tables.latents import text_id


def encode(
    dataset: DatasetLocation,
    /,
    *,
    release: ReleaseName,
    options: RecipeOptions = NO_CHANGES,
    retry_failed: RetryFailed = False,
    verify: Annotated[
        bool, Parameter(help="Read all that is there, and make anew what is damaged.", show_default=False)
    ] = False,
    json: Json = False,
) -> None:
    """Compute the latents and text embeddings of a release.

    Both are cached by content: what an earlier run or another release encoded with the same settings is not done again.
    """
    tables = Dataset(dataset).require()
    selection = releases.read(tables, release)
    recipe = options.over(tables)
    start_s = time.perf_counter()
    encoders = encoders_of(recipe.encode)
    with tables.writing("encode"):
        tables.clear_temporaries()
        run = Run(tables, "encode", recipe)
        retrying = Retrying.of(recipe.limits, run.dataset.run_id, all_failures=retry_failed)
        clips, texts = missing(tables, selection, encoders, retrying, verify=verify)
        if clips or texts:
            encode_missing(run, clips, texts, encoders.codec)
    failed, num_ok = _failed(tables, selection, encoders)
    summary = {
        "release": selection.name,
        "latents": num_ok,
        "failed": len(failed),
        "encoded_now": len(clips),
        "autoencoder": encoders.autoencoder,
        "text_encoder": encoders.text_encoder,
        "seconds": round(time.perf_counter() - start_s, 2),
        "stages": run.stages,
    }
    if json:
        print_json(summary)
        return
    print(
        f"release {selection.name}: {num_ok} latents, {len(clips)} of them new, {len(failed)} failed, "
        f"in {summary['seconds']:.1f} s"
    )
    for row in failed:
        print(f"  {row['clip_id']}: {row['reason']}")


@dataclass(frozen=True)
class Encoders:
    """What says which cache a release's latents and texts are in: the codec, and two fingerprints."""

    codec: CodecSpec
    text_encoder: str
    transform: str

    @property
    def autoencoder(self) -> str:
        return self.codec.fingerprint


def encoders_of(config: EncodeConfig) -> Encoders:
    """Read from both encoders' files what they are; the workers load them.

    Raises:
        UsageError: one is not there; names the recipe key.
    """
    with naming("encode.autoencoder", config.autoencoder):
        codec = codec_spec(config.autoencoder)
    with naming("encode.text_encoder", config.text_encoder):
        text_encoder = text_encoder_spec(config.text_encoder, config.text_dtype)
    return Encoders(codec, text_encoder.fingerprint, config.transform)


def missing(
    dataset: Dataset, release: Release, encoders: Encoders, retrying: Retrying, *, verify: bool = False
) -> tuple[Plan, list[str]]:
    """Released clips without a latent, and texts without an embedding; the empty text is that of dropped ones.

    Args:
        verify: latents and embeddings that are there are read, and damaged ones do not count.
    """
    released = [row | {"transform": clip_transform(row, encoders.transform)} for row in release.clips.to_pylist()]
    texts = ["", *release_texts(release)]
    corrupt_clips: list[str] = []
    corrupt_texts: list[str] = []
    if verify:
        keys = {name: [row[name] for row in released] for name in ("clip_id", "transform")}
        latents = LATENTS.within(encoders.autoencoder)
        corrupt_clips = StoredArrays(dataset, latents, pa.table(keys), ["status"], f"status = '{OK}'").corrupt()
        of_texts = pa.table({"text_id": sorted(map(text_id, texts))})
        corrupt_texts = StoredArrays(dataset, TEXT.within(encoders.text_encoder), of_texts).corrupt()
    clips = pending_latents(dataset, released, encoders.autoencoder, retrying, corrupt_clips)
    return clips, pending_texts(dataset, texts, encoders.text_encoder, corrupt_texts)


def encode_missing(run: Run, clips: Plan, texts: list[str], codec: CodecSpec) -> None:
    """Run both graphs, and record the run."""
    from pipeline.ray_graphs.encode import latent_graph, text_graph

    if texts:
        run.write(partial(text_graph, run.dataset, texts, run.recipe.encode), text_line(len(texts)))
    if clips:
        run.write(partial(latent_graph, run.dataset, clips, codec, run.recipe), latent_line(len(clips)))
        clips.delete()
    run.end()


def _failed(dataset: Dataset, release: Release, encoders: Encoders) -> tuple[list[dict[str, Any]], int]:
    """Rows of the release's clips that could not be encoded, and how many could."""
    latents = connect(dataset).sql(
        "select clip_id, transform, status, reason from latents where encoder = ? order by clip_id",
        params=[encoders.autoencoder],
    )
    released = {(row["clip_id"], clip_transform(row, encoders.transform)) for row in release.clips.to_pylist()}
    rows = [row for row in latents.to_arrow_table().to_pylist() if (row["clip_id"], row["transform"]) in released]
    failed = [row for row in rows if row["status"] != "ok"]
    return failed, len(rows) - len(failed)


if __name__ == "__main__":
    sys.exit(run_job("encode"))
