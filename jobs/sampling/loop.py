"""A clip that can be played over and over: its end goes over into its beginning.

What is sampled is longer: a first frame, which is not shown as causal codecs encode it alone, then the loop, and its
first patch again, tied to the first time (`model.diffusion.requests.Request.period`). What is shown starts after that
patch and ends with its repetition, so that the step from the last frame to the first is one within the clip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from jobs.sampling.clip import Settings, load_model
from jobs.sampling.task import Parts
from jobs.training.run_config import RunConfig
from model.codec.spec import CodecPlan, num_frames


@torch.no_grad()
def sample_loop(run: Path, prompt: str, config: RunConfig, plan: CodecPlan, settings: Settings) -> np.ndarray:
    """Sample a loop, (T, H, W, 3) uint8 RGB: of the plan's size, and about its length, in whole latent frames.

    Raises:
        UsageError: as `sample_frames`.
    """
    stride_t, patch = config.stride_thw[0], tuple(config.train["model"]["patch"])
    period = max(round(plan.valid[0] / stride_t / patch[0]), 1) * patch[0]
    shown = num_frames(2 * patch[0], stride_t)
    whole = config.codec.plan(shown + period * stride_t, *plan.valid[1:], patch)
    return load_model(run, prompt, config, settings).frames(whole, Parts(period=period), settings)[shown:]
