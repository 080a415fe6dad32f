"""Fit the built-in CoCa on synthetic clips: first its vision tower with auxiliary heads, then with CoCa's losses too.

    python -m jobs.fits.coca.fit --out DIR [--minutes M] [--seed S] [--clips N] [--cache FOLDER] [--start FOLDER]

DIR/log.jsonl has the losses and the held-out accuracy by attribute, DIR/coca the checkpoint and its card. The synthetic
clips are those of the captioner's fit, cached in FOLDER (by default DIR/clips).

The loss is open_clip's own for CoCa (Yu et al. 2022, arXiv:2205.01917, section 3.2). With it alone a small network soon
learns colours but hardly any shapes, so auxiliary heads also predict the attributes from every patch
(`model/readers/captioner_heads.py`).

Shapes: B clips, T pictures of a clip, P tokens of a picture, D width, L words.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F
from open_clip.loss import CoCaLoss
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from jobs.fits.captioner.batches import without_colour_labels
from jobs.fits.captioner.clips import BUCKETS, HELD_OUT_SEED, Bucket, open_bucket, take_batch, without_colour
from jobs.fits.captioner.fit import build_optimizers
from jobs.fits.clip.network import save_model
from jobs.fits.clip.pairs import text_of
from jobs.fits.coca.network import CAPTION_KIND, CONTEXT_LENGTH, WIDTH, build_coca, fitted_tokenizer, model_cfg
from jobs.fits.coca.pictures import SHOWN, degraded, picture_labels, take_pictures
from jobs.fits.coca.scores import card, held_out_scores
from jobs.fits.schedule import Schedule
from model.readers.captioner_heads import TokenHeads, heads_loss
from model.readers.coca import frame_tokens, load_coca, pooled_with_summary

NOT_HIDDEN = ("embed", "to_scores", "query", "text_decoder.text_projection")
"""Matrices with one of these in their name are fitted by AdamW: embeddings of words and positions, queries, outputs."""
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class FitSettings(Schedule):
    """Settings of the fit. Its length is set in minutes rather than steps, so that it fits the machine.

    minutes: CPU time of one core, so that other work on the machine does not change the result.
    vision_only_frac: share of the time in which the auxiliary heads alone are the loss.
    """

    minutes: float = 25.0
    seed: int = 0
    num_clips: int = 12_000
    held_out_clips: int = 200
    pictures: int = 48
    """Pictures in a batch: one of each clip, or several of fewer clips."""
    weight_decay: float = 0.01
    vision_only_frac: float = 0.35
    heads_weight: float = 0.5
    contrast_weight: float = 1.0
    caption_weight: float = 2.0
    """Twice the contrastive weight, as in the paper (section 4.1)."""
    grey_frac: float = 0.15
    """Share of batches in grey, for the auxiliary heads only."""
    check_every_s: float = 300.0


HEADS_ONLY_FRAC = 0.03
"""`vision_only_frac` of a fit that continues from a checkpoint, which has no auxiliary heads, so they start
untrained."""
RUN_SHARES = {1: 0.6, 2: 0.15, 4: 0.15, 8: 0.1}
"""Share of batches by the number of pictures of a clip that are pooled, so that the model learns clips and pictures."""


class Fit:
    """The state of a fit and one step of it."""

    def __init__(self, settings: FitSettings, tokenizer: PreTrainedTokenizerFast, width: int = WIDTH) -> None:
        self.settings, self.tokenizer = settings, tokenizer
        self.cfg = model_cfg(len(tokenizer), width)
        self.net = build_coca(self.cfg, settings.seed)
        self.heads = TokenHeads(SHOWN, width)
        self.optimizers = build_optimizers([self.net, self.heads], settings.weight_decay, NOT_HIDDEN)
        self.coca_loss = CoCaLoss(settings.caption_weight, settings.contrast_weight)
        self.step = 0

    def start_from(self, folder: Path) -> None:
        """Load another checkpoint's weights; the auxiliary heads start untrained."""
        self.net.load_state_dict(load_coca(str(folder)).model.state_dict())

    def advance(self, buckets: Mapping[str, Bucket], done_frac: float) -> dict[str, float]:
        """One optimizer step, `done_frac` through the fit."""
        settings, rng = self.settings, random.Random(f"{self.settings.seed}-{self.step}")
        bucket = buckets[rng.choice(sorted(buckets))]
        run = rng.choices(list(RUN_SHARES), list(RUN_SHARES.values()))[0]
        chosen = rng.sample(range(len(bucket.scenes)), min(settings.pictures // run, len(bucket.scenes)))
        batch = take_pictures(take_batch(bucket, chosen, rng, frozen_frac=0.0), run, rng)
        labels, offset = picture_labels(batch)
        is_grey = rng.random() < settings.grey_frac
        if is_grey:
            batch, labels = without_colour(batch, rng), without_colour_labels(labels)
        tokens_BTPD = frame_tokens(self.net, degraded(batch.frames, rng)).unflatten(0, (-1, run))
        loss, accuracy = heads_loss(self.heads(tokens_BTPD[:, :, 1:]), labels, offset)
        report = {"heads_loss": loss.item(), **{f"patch_{name}": share for name, share in accuracy.items()}}
        if done_frac >= settings.vision_only_frac and not is_grey:
            losses = self._losses(tokens_BTPD, [text_of(scene, CAPTION_KIND) for scene in batch.scenes])
            report |= {name: value.item() for name, value in losses.items()}
            loss = settings.heads_weight * loss + torch.stack(list(losses.values())).sum()
        self._update(loss, settings.learning_rate(done_frac))
        return report

    def _losses(self, tokens_BTPD: Tensor, captions: list[str]) -> dict[str, Tensor]:
        """open_clip's two weighted terms: contrastive loss and caption loss."""
        summary_BD, seen_BQD = pooled_with_summary(self.net, tokens_BTPD)
        padded = {"padding": "max_length", "max_length": CONTEXT_LENGTH, "truncation": True}
        ids_BL = torch.tensor(self.tokenizer(captions, **padded)["input_ids"])
        output = self.net(None, ids_BL, image_latent=F.normalize(summary_BD, dim=-1), image_embs=seen_BQD)
        return self.coca_loss(
            output["image_features"],
            output["text_features"],
            output["logits"],
            output["labels"],
            output["logit_scale"],
            output_dict=True,
        )

    def _update(self, loss: Tensor, rate: float) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_([*self.net.parameters(), *self.heads.parameters()], 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.net.logit_scale.clamp_(max=math.log(100.0))
        self.step += 1


def fit_coca(out: Path, settings: FitSettings, cache: Path, start: Path | None = None, width: int = WIDTH) -> Scores:
    """Fit until the time is up, from the start or from a checkpoint; returns the held-out scores of the result."""
    each, each_held_out = settings.num_clips // len(BUCKETS), settings.held_out_clips // len(BUCKETS)
    held_out = {
        unseen: [open_bucket(cache, name, each_held_out, HELD_OUT_SEED, unseen=unseen) for name in BUCKETS]
        for unseen in (False, True)
    }
    buckets = {name: open_bucket(cache, name, each, 0) for name in BUCKETS}
    fit, folder = Fit(settings, fitted_tokenizer(), width), out / "coca"
    if start is not None:
        fit.start_from(start)
    out.mkdir(parents=True, exist_ok=True)
    spent_s = checked_s = 0.0
    while spent_s < 60 * settings.minutes:
        start_s = time.process_time()
        report = fit.advance(buckets, spent_s / (60 * settings.minutes))
        spent_s += time.process_time() - start_s
        _log(out, fit.step, spent_s, report)
        if "caption_loss" in report and spent_s - checked_s > settings.check_every_s:
            checked_s = spent_s
            save_model(folder, fit.cfg, fit.net, fit.tokenizer)
            _log(out, fit.step, spent_s, {"held_out": held_out_scores(folder, held_out)})
    save_model(folder, fit.cfg, fit.net, fit.tokenizer)
    scores = held_out_scores(folder, held_out)
    _log(out, fit.step, spent_s, {"settings": asdict(settings), "held_out": scores})
    num_parameters = sum(p.numel() for p in fit.net.parameters())
    (folder / "README.md").write_text(card(scores, num_parameters, _how_fitted(fit, start)))
    return scores


def _how_fitted(fit: Fit, start: Path | None) -> str:
    settings = fit.settings
    command = f"python -m jobs.fits.coca.fit --out DIR --minutes {settings.minutes:g} --clips {settings.num_clips}"
    text = f"Fitted by `{command} --seed {settings.seed}`\nin {fit.step:,} steps on one CPU core."
    return text if start is None else f"{text} It continued from an earlier checkpoint (`--start`)."


def _log(out: Path, step: int, spent_s: float, facts: Mapping[str, object]) -> None:
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in facts.items()}
    with (out / "log.jsonl").open("a") as stream:
        stream.write(json.dumps({"step": step, "spent_s": round(spent_s, 1), **rounded}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the built-in CoCa on synthetic clips.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the log and the checkpoint")
    parser.add_argument("--minutes", type=float, default=FitSettings.minutes)
    parser.add_argument("--seed", type=int, default=FitSettings.seed)
    parser.add_argument("--clips", type=int, default=FitSettings.num_clips)
    parser.add_argument("--cache", type=Path, help="folder of synthetic clips (default: OUT/clips)")
    parser.add_argument(
        "--start", type=Path, help="folder of a checkpoint to continue from, for a better fit in less time"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    settings = FitSettings(minutes=args.minutes, seed=args.seed, num_clips=args.clips)
    if args.start is not None:
        settings = replace(settings, vision_only_frac=HEADS_ONLY_FRAC)
    scores = fit_coca(args.out, settings, args.cache or args.out / "clips", args.start)
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
