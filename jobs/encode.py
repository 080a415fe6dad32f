"""`reelmill encode`: a release as latents and text embeddings, cached by content."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import pyarrow.dataset
from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.naming import naming
from jobs.console.options import NO_CHANGES, DatasetLocation, DryRun, Json, RecipeOptions, ReleaseName, RetryFailed
from jobs.console.summary import print_json
from jobs.steps.encode_forecast import MIB, Encoders, foresee, print_foreseen
from jobs.steps.progress_lines import latent_line, text_line
from jobs.steps.run import Run, Stages
from model.codec.spec import CodecSpec, codec_spec
from model.readers.text_encoder_spec import text_encoder_spec
from pipeline.encode import damage
from pipeline.encode.latents import PATCH_HW
from pipeline.encode.outcome import Outcome, outcome
from pipeline.encode.wanted import wanted_clips, wanted_texts
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from pipeline.store.pending import bounded, pending_latents, pending_texts
from pipeline.store.plans import Plan
from pipeline.store.retrying import Retrying
from schemas.errors import JobError, is_outage
from schemas.recipe.encode import EncodeConfig


def encode(
    dataset: DatasetLocation,
    /,
    *,
    release: ReleaseName,
    options: RecipeOptions = NO_CHANGES,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    verify: Annotated[
        bool, Parameter(help="Read all that is there, and make anew what is damaged.", show_default=False)
    ] = False,
    json: Json = False,
) -> None:
    """Compute the latents and text embeddings of a release.

    Both are cached by content: what an earlier run or another release encoded with the same settings is not done again.
    """
    tables = Dataset(dataset).require()
    released = releases.scanner(tables, release)
    recipe = options.over(tables)
    start_s = time.perf_counter()
    encoders = encoders_of(recipe.encode)
    if dry_run:
        with damage_named(tables):
            foreseen = foresee(tables, released, encoders, recipe, all_failures=retry_failed)
        (print_json if json else print_foreseen)({"release": release, "dry_run": True} | foreseen)
        return
    with damage_named(tables), tables.writing("encode"):
        tables.clear_temporaries()
        run = Run(tables, "encode", recipe)
        retrying = Retrying.of(recipe.limits, run.dataset.run_id, all_failures=retry_failed)
        set_aside = damage.set_aside(tables) if verify else []
        clips, texts = missing(tables, released, encoders, retrying, verify=verify)
        spent = encode_missing(run, clips, texts, encoders.codec)
        wanted = wanted_clips(released, encoders.transform, encoders.single_frames)
        found = outcome(bounded(tables), wanted, encoders.autoencoder)
    summary = {
        "release": release,
        "latents": found.num_ok,
        "single_frames": found.num_frames,
        "failed": found.num_failed,
        "encoded_now": len(clips),
        "texts_now": len(texts),
        "autoencoder": encoders.autoencoder,
        "text_encoder": encoders.text_encoder,
        "set_aside": set_aside,
        **asdict(spent),
        "seconds": round(time.perf_counter() - start_s, 2),
        "stages": run.stages,
    }
    if json:
        print_json(summary)
    else:
        print_outcome(summary, found)


def encoders_of(config: EncodeConfig) -> Encoders:
    """Read from both encoders' files what they are; the workers load them.

    Raises:
        UsageError: one is not there; names the recipe key.
    """
    with naming("encode.autoencoder", config.autoencoder):
        codec = codec_spec(config.autoencoder)
    with naming("encode.text_encoder", config.text_encoder):
        text_encoder = text_encoder_spec(config.text_encoder, config.text_dtype)
    return Encoders(codec, text_encoder.fingerprint, config.transform, config.single_frames)


def missing(
    dataset: Dataset,
    released: pyarrow.dataset.Dataset,
    encoders: Encoders,
    retrying: Retrying,
    *,
    verify: bool = False,
) -> tuple[Plan, Plan]:
    """Plans of what is missing: latents of released clips and of their single frames, and embeddings of texts.

    Args:
        verify: latents and embeddings that are there are read, and damaged ones do not count.
    """
    wanted_latents = partial(wanted_clips, released, encoders.transform, encoders.single_frames)
    clips: Collection[str] = ()
    texts: Collection[str] = ()
    if verify:
        clips = damage.corrupt_latents(dataset, wanted_latents(), encoders.autoencoder)
        texts = damage.corrupt_texts(dataset, wanted_texts(released), encoders.text_encoder)
    return (
        pending_latents(dataset, wanted_latents(), encoders.autoencoder, retrying, clips),
        pending_texts(dataset, wanted_texts(released), encoders.text_encoder, texts),
    )


def encode_missing(run: Run, clips: Plan, texts: Plan, codec: CodecSpec) -> Spent:
    """Run both graphs, and record the run."""
    spent = Spent()
    if not (clips or texts):
        return spent
    from pipeline.ray_graphs.encode import latent_graph, text_graph

    if texts:
        run.graph(
            partial(text_graph, run.dataset, texts, run.recipe.encode),
            text_line(len(texts)),
            spent.texts,
        )
        texts.delete()
    if clips:
        run.graph(
            partial(latent_graph, run.dataset, clips, codec, run.recipe),
            latent_line(len(clips)),
            spent.latents,
        )
        clips.delete()
    run.end()
    return spent


@dataclass
class Spent:
    """The peak of memory of the actor that has had most, of those for latents and for texts."""

    latent_peak_bytes: int = 0
    text_peak_bytes: int = 0

    def latents(self, said: Mapping[str, int]) -> None:
        """Take what an actor says after a call."""
        self.latent_peak_bytes = max(self.latent_peak_bytes, said["peak_bytes"])

    def texts(self, said: Mapping[str, int]) -> None:
        """The same of texts."""
        self.text_peak_bytes = max(self.text_peak_bytes, said["peak_bytes"])


@contextmanager
def damage_named(dataset: Dataset) -> Iterator[None]:
    """Tell in one line which part file cannot be read, if that is why something fails.

    Raises:
        JobError: it names the file.
    """
    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        if is_outage(error):
            raise
        for _, why in damage.unreadable_parts(dataset):
            raise JobError(f"{why}; `reelmill encode --verify` makes its rows again") from error
        raise


def print_outcome(summary: Mapping[str, Any], found: Outcome) -> None:
    """Print what a run has done, and the first of what failed."""
    for path in summary["set_aside"]:
        print(f"set aside, as it cannot be read: {path}")
    alone = f" and {found.num_frames} of single frames" if found.num_frames else ""
    print(
        f"release {summary['release']}: {found.num_ok} latents{alone}, {summary['encoded_now']} of them new, "
        f"{found.num_failed} failed, in {summary['seconds']:.1f} s"
    )
    if stages := summary["stages"]:
        print_spent(summary, stages)
    for clip_id, reason in found.failed:
        print(f"  {clip_id}: {reason}")
    if found.num_failed > len(found.failed):
        print(f"  and {found.num_failed - len(found.failed)} more")


def print_spent(summary: Mapping[str, Any], stages: Stages) -> None:
    """Print what a run has used, in the words of `--dry-run`."""
    nothing: dict[str, Any] = {"counts": {}, "num_bytes": 0, "seconds": 0.0}
    latents, texts = stages.get("latents", nothing), stages.get("text", nothing)
    tokens = latents["counts"].get("positions", 0) // PATCH_HW**2
    print(
        f"  tokens {tokens}, latents {latents['num_bytes'] / MIB:.2f} MiB, "
        f"embeddings {texts['num_bytes'] / MIB:.2f} MiB\n"
        f"  codec and text encoder {latents['seconds'] + texts['seconds']:.1f} s in all actors; memory of an actor "
        f"{summary['latent_peak_bytes'] / MIB:.0f} MiB, of the one for texts {summary['text_peak_bytes'] / MIB:.0f} MiB"
    )


if __name__ == "__main__":
    sys.exit(run_job("encode"))
