"""`reelmill sample`: a video or an image from a prompt."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from jobs.cli import run_job
from jobs.console.naming import naming
from jobs.console.options import NO_CHANGES, AtLeast1, Json, RecipeOptions
from jobs.console.summary import print_json
from jobs.expand import captions_of, expanded, tell_rejected
from model.builtin import run_folder
from pipeline.caption.expand import Expansion
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError

if TYPE_CHECKING:
    from jobs.training.run_config import RunConfig


def sample(
    run: Path,
    prompt: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], metavar="FILE")],
    expand: Annotated[bool, Parameter(show_default=False)] = False,
    size: Annotated[str | None, Parameter(metavar="WxH")] = None,
    seconds: Annotated[float | None, Parameter(metavar="S", validator=Number(gt=0))] = None,
    image: Annotated[str | None, Parameter(metavar="FILE")] = None,
    video: Annotated[str | None, Parameter(metavar="FILE")] = None,
    last: Annotated[str | None, Parameter(metavar="FILE")] = None,
    backwards: Annotated[bool, Parameter(show_default=False)] = False,
    blend: Annotated[str | None, Parameter(metavar="FILE")] = None,
    strength: Annotated[float | None, Parameter(metavar="S", validator=Number(gte=0, lte=1))] = None,
    region: Annotated[tuple[int, int, int, int] | None, Parameter(metavar="LEFT TOP WIDTH HEIGHT")] = None,
    loop: Annotated[bool, Parameter(show_default=False)] = False,
    window: Annotated[float | None, Parameter(metavar="S", validator=Number(gt=0))] = None,
    context: Literal["recent", "fdm", "anchor"] | None = None,
    motion: Annotated[float | None, Parameter(metavar="X", validator=Number(gte=0))] = None,
    sampler: Literal["euler", "heun", "ddim", "ddpm", "dpm_solver_2m", "unipc"] = "euler",
    steps: Annotated[AtLeast1, Parameter(metavar="N")] = 30,
    spacing: Literal["even", "diffusers"] = "even",
    guidance: float = 4.0,
    guidance_interval: Annotated[tuple[float, float], Parameter(metavar="LOW HIGH")] = (0.0, 1.0),
    guidance_rescale: Annotated[float, Parameter(metavar="SHARE", validator=Number(gte=0, lte=1))] = 0.0,
    seed: int = 0,
    options: RecipeOptions = NO_CHANGES,
    json: Json = False,
) -> None:
    """Make a video or an image from a prompt, with a model that `reelmill train` has fitted.

    With --image or --video the clip starts from that picture, or continues that video from its end; with --backwards it
    leads up to its beginning, and with --blend it goes over from its beginning into the end of another. With --strength
    or --region it is an edit of the beginning of that video. The recipe is that of the data set which the run was
    trained on, or the recipe `default` for `builtin`; it says how --expand expands the prompt.

    Args:
        run: Folder of the run, or `builtin` for the model that comes with the program, which knows coloured shapes
            that move.
        prompt: What to show, as "a red circle moves left".
        output: Where it goes: a name in .mp4, or in .png for an image.
        expand: Expand the prompt first, as `reelmill expand` does.
        size: Size in pixels; without it the shape of the picture that it starts from, or the most frequent of training.
        seconds: Length; without it that of the longest training clip.
        image: Picture that the clip starts with.
        video: Video whose end the clip starts with, or that is edited.
        last: Picture that the clip ends with, or video whose last frame that is; for a model that was trained with
            such.
        backwards: End the clip with the beginning of the video, or with the picture, instead of going on from it.
        blend: Video that ends the clip, as --video begins it: a third each. What is between is the model's; with
            --strength it starts from where one video is faded into the other.
        strength: Edit the video: from 0, which leaves it as it is, to 1, which leaves nothing of it.
        region: Edit a part of the video, in pixels of the clip; the rest stays as it is.
        loop: Make a clip whose end goes over into its beginning, of about the length, in whole latent frames.
        window: Sample a longer clip in parts of this length in seconds, each of which continues the one before.
        context: What a part continues: `recent`, the last frames, the default; `fdm`, some of them and others of the
            further past; `anchor`, the last eight and the first of all, with an overlap that is blended at random. The
            latter two are for a model that was trained with `train.tasks.past`.
        motion: How fast things move: mean speed in pixels a second, where the longer side is 256 px (`motion_px_s` of
            clips); for a model that was trained with it.
        sampler: How noise becomes a video: `unipc` and `dpm_solver_2m` need the fewest steps, `ddpm` the most.
        steps: Steps of the sampler.
        spacing: Noise levels of the steps: `diffusers` are those of the scheduler that `export --format diffusers`
            writes, which samples the same with the sampler `euler`, or `ddim` on the path of a DDPM.
        guidance: Guidance scale; 1 for none.
        guidance_interval: Noise levels, from 0 for none to 1 for nothing else, between which guidance is used; steps at
            others take half the time.
        guidance_rescale: How far guided steps are brought back to the contrast of those without guidance; 0.7 where
            colours are too strong.
        seed: Seed of the noise.
    """
    # PyTorch takes seconds to import, for which help should not wait.
    from jobs.sampling.clip import Settings, plan_of, sample_frames
    from jobs.sampling.combinations import require_possible
    from jobs.sampling.condition import open_source
    from jobs.sampling.long import sample_long
    from jobs.sampling.loop import sample_loop
    from jobs.sampling.movie import check_target, write_frames
    from jobs.sampling.task import Task
    from jobs.training.run_config import read_run_config
    from model.diffusion.guidance import Guidance

    start_s = time.perf_counter()
    with naming("--guidance-interval"):
        guided = Guidance(guidance, guidance_interval, guidance_rescale)
    folder = run_folder(run)
    config = read_run_config(folder)
    sources = {"--image": image, "--video": video, "--last": last, "--blend": blend}
    others = {"--backwards": backwards, "--strength": strength, "--region": region, "--loop": loop}
    require_possible(sources | others | {"--window": window, "--context": context})
    if window and window >= (seconds or 0):
        raise UsageError(f"--window {window:g}: give a longer clip to be made of such parts, by --seconds")
    opened = {name: open_source(path) for name, path in sources.items() if path}
    source = opened.get("--image") or opened.get("--video")
    task = Task(source, strength, region, opened.get("--last"), backwards, opened.get("--blend"))
    length, is_image = window or seconds, output.suffix == ".png"
    if loop and is_image:
        raise UsageError(f"--loop: a png does not move, so give -o {output.with_suffix('.mp4')}")
    plan = plan_of(size, length, config, source, is_image=is_image, is_edit=task.is_edit)
    if window and plan.latent_shape[1] < 2:
        raise UsageError(f"--window {window:g}: too short to continue anything")
    num_frames = round(seconds * config.fps) if window and seconds else plan.valid[0]
    check_target(output, num_frames)
    expansion = _expanded(prompt, config, options, seed) if expand and prompt else None
    text = expansion.text if expansion else prompt
    settings = Settings(sampler, steps, guided, seed, motion, spacing)
    if loop:
        frames = sample_loop(folder, text, config, plan, settings)
    elif window:
        frames = sample_long(folder, text, config, plan, num_frames, task, settings, context or "recent")
    else:
        frames = sample_frames(folder, text, config, plan, task, settings)
    write_frames(output, frames, config.fps)
    num_frames, height, width = frames.shape[:3]
    if json:
        summary = {"output": str(output), "prompt": text, "width": width, "height": height, "frames": num_frames}
        print_json(summary | {"fps": config.fps, "seconds": round(time.perf_counter() - start_s, 1)})
        return
    if expand:
        print(text)
    if expansion:
        tell_rejected(expansion)
    print(f"{output}: {width}x{height}, {num_frames} frames at {config.fps:g} a second")


def _expanded(prompt: str, config: RunConfig, options: RecipeOptions, seed: int) -> Expansion:
    """The prompt in the words of the captions that the run was trained on."""
    if not config.dataset:
        return expanded(prompt, options.over(None), [], seed)
    dataset = Dataset(config.dataset).require()
    return expanded(prompt, options.over(dataset), captions_of(dataset, config.release), seed)


if __name__ == "__main__":
    sys.exit(run_job("sample"))
