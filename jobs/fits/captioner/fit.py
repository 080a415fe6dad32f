"""Fit the built-in captioner on synthetic clips: first its vision with auxiliary heads, then captions and text tasks.

    python -m jobs.fits.captioner.fit --out DIR [--minutes M] [--seed S] [--clips N] [--start FOLDER]

DIR/clips has the synthetic clips, DIR/state.pt the state of the fit (the same command resumes it), DIR/log.jsonl the
losses and the held-out accuracy by attribute, DIR/captioner the checkpoint and its card.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from jobs.fits.captioner.batches import (
    QUESTIONS,
    TEXT_TASKS,
    CaptionTokens,
    caption_tokens,
    text_tokens,
    token_labels,
    without_colour_labels,
)
from jobs.fits.captioner.clips import BUCKETS, HELD_OUT_SEED, Bucket, open_bucket, take_batch, without_colour
from jobs.fits.captioner.scores import card, held_out_scores
from jobs.fits.schedule import Schedule
from model.readers.captioner_heads import TokenHeads, heads_loss
from model.readers.captioner_network import (
    CLAIMED_FPS,
    FRAMES_PER_SLICE,
    PATCH_PX,
    build_captioner,
    encode_patches,
    fit_tokenizer,
    patchify,
    save_captioner,
)
from model.training.muon import Muon
from pipeline.caption.prompts.templates import load_prompt
from pipeline.synthetic.texts import TITLE_KINDS, merged_caption, short_prompt, title
from pipeline.synthetic.world import draw_scene, structured_caption
from schemas.structured_caption import to_json

logger = logging.getLogger(__name__)
TOKENIZER_SCENES = 5000
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class FitSettings(Schedule):
    """Settings of the fit. Its length is set in minutes rather than steps, so that it fits the machine.

    vision_only_frac: share of the time in which the auxiliary heads alone are the loss.
    """

    minutes: float = 105.0
    seed: int = 0
    num_clips: int = 12_000
    held_out_clips: int = 200
    held_out_texts: int = 200
    batch: int = 32
    weight_decay: float = 0.01
    vision_only_frac: float = 0.4
    heads_weight: float = 0.5
    frozen_frame_frac: float = 0.04
    grey_frac: float = 0.2
    """Share of batches in grey, for the auxiliary heads only. Without them, the network takes a shape in a colour that
    it never saw on it for a shape that it did see in that colour."""
    text_every: int = 1
    """A batch of text tasks is added to every so many steps with captions."""
    check_every_s: float = 600.0
    save_every_s: float = 120.0
    log_every_s: float = 30.0


def fitted_tokenizer() -> Qwen2Tokenizer:
    """The tokenizer, fitted to synthetic captions, the prompts and titles; always the same."""
    texts = []
    for seed in range(TOKENIZER_SCENES):
        scene, rng = draw_scene(seed), random.Random(seed)
        source_title = title(scene, rng.choice(TITLE_KINDS), rng)
        texts += [to_json(structured_caption(scene)), short_prompt(scene, rng).text, source_title.text]
        texts.append(merged_caption(scene, source_title))
    questions = [load_prompt(f"{name}-builtin", known).user for name, known in (("caption", ()), *TEXT_TASKS.items())]
    return fit_tokenizer([*texts, *questions * 100])


def caption_loss(
    net: Any,
    vision_BME: torch.Tensor,
    tokens: CaptionTokens,
    grid_thw: tuple[int, int, int],
) -> torch.Tensor:
    """Mean cross-entropy of the captions' tokens after the prompt.

    All rows have the same layout, so positions are computed for one row only. Padding is on the right, where causal
    attention does not reach.
    """
    assert tokens.vision_span is not None
    start, end = tokens.vision_span
    kinds_1L = torch.zeros_like(tokens.ids_BL[:1])
    kinds_1L[:, start:end] = 2  # video, in transformers' numbering of modalities
    positions, _ = net.model.get_rope_index(
        tokens.ids_BL[:1],
        mm_token_type_ids=kinds_1L,
        video_grid_thw=torch.tensor([grid_thw]),
        second_per_grid_ts=torch.tensor([FRAMES_PER_SLICE / CLAIMED_FPS]),
    )
    words_BLE = net.get_input_embeddings()(tokens.ids_BL)
    inputs_BLE = torch.cat([words_BLE[:, :start], vision_BME, words_BLE[:, end:]], dim=1)
    return _answer_loss(net, inputs_BLE, positions.expand(-1, len(inputs_BLE), -1), tokens)


def text_loss(net: Any, tokens: CaptionTokens) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens of text tasks, which have no video."""
    positions = torch.arange(tokens.ids_BL.shape[1]).expand(3, *tokens.ids_BL.shape)
    return _answer_loss(net, net.get_input_embeddings()(tokens.ids_BL), positions, tokens)


def _answer_loss(net: Any, inputs_BLE: torch.Tensor, positions: torch.Tensor, tokens: CaptionTokens) -> torch.Tensor:
    hidden_BLE = net.model.language_model(
        inputs_embeds=inputs_BLE, position_ids=positions, use_cache=False
    ).last_hidden_state
    is_answer = tokens.answer_mask_BL[:, 1:]
    return F.cross_entropy(net.lm_head(hidden_BLE[:, :-1][is_answer]), tokens.ids_BL[:, 1:][is_answer])


def build_optimizers(
    modules: Sequence[nn.Module], weight_decay: float, not_hidden: Sequence[str] = ("embed", "to_scores")
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024; step size matched to AdamW's, Liu et al. 2025) for hidden matrices, AdamW for the rest.

    The rest: embeddings, norms, biases, the patch projection and the outputs of the auxiliary heads. Learning rates are
    set at every step.

    Args:
        not_hidden: matrices with one of these in their name belong to the rest.
    """
    named = [(name, parameter) for module in modules for name, parameter in module.named_parameters()]
    hidden = [p for name, p in named if p.ndim == 2 and not any(part in name for part in not_hidden)]
    taken = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in taken]
    return [
        Muon(hidden, lr=0.0, weight_decay=weight_decay, like_adamw=True),
        torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.98), weight_decay=weight_decay),
    ]


class Fit:
    """The state of a fit and one step of it."""

    def __init__(self, settings: FitSettings, tokenizer: Qwen2Tokenizer) -> None:
        self.settings, self.tokenizer = settings, tokenizer
        self.net: Any = build_captioner(tokenizer, settings.seed)
        torch.manual_seed(settings.seed)
        vision: Any = self.net.config.vision_config
        self.heads = TokenHeads(QUESTIONS, vision.out_hidden_size)
        self.optimizers = build_optimizers([self.net, self.heads], settings.weight_decay)
        self.step, self.spent_s = 0, 0.0

    @property
    def done_frac(self) -> float:
        return self.spent_s / (60 * self.settings.minutes)

    def advance(self, buckets: dict[str, Bucket]) -> dict[str, float]:
        """One optimizer step; the randomness of step n depends on (seed, n) only."""
        settings, rng = self.settings, random.Random(f"{self.settings.seed}-{self.step}")
        bucket = buckets[rng.choice(sorted(buckets))]
        chosen = rng.sample(range(len(bucket.scenes)), min(settings.batch, len(bucket.scenes)))
        batch = take_batch(bucket, chosen, rng, settings.frozen_frame_frac)
        height, width = batch.frames.shape[2:4]
        labels, offset = token_labels(batch)
        is_grey = rng.random() < settings.grey_frac
        if is_grey:
            batch, labels = without_colour(batch, rng), without_colour_labels(labels)
        vision_BSME = encode_patches(self.net.model.visual, patchify(torch.from_numpy(batch.frames)), height, width)
        loss, accuracy = heads_loss(self.heads(vision_BSME), labels, offset)
        report = {"heads_loss": loss.item(), **{f"token_{name}": share for name, share in accuracy.items()}}
        if self.done_frac >= settings.vision_only_frac and not is_grey:
            vision_BME = vision_BSME.flatten(1, 2)
            tokens = caption_tokens(self.tokenizer, batch.scenes, vision_BME.shape[1])
            grid = (vision_BSME.shape[1], height // PATCH_PX, width // PATCH_PX)
            words_loss = caption_loss(self.net, vision_BME, tokens, grid)
            report["caption_loss"] = words_loss.item()
            loss = words_loss + settings.heads_weight * loss
            if self.step % settings.text_every == 0:
                scenes = [draw_scene(seed) for seed in rng.sample(range(HELD_OUT_SEED), settings.batch)]
                texts_loss = text_loss(self.net, text_tokens(self.tokenizer, scenes, rng))
                report["text_loss"] = texts_loss.item()
                loss = loss + texts_loss
        self._update(loss)
        return report

    def _update(self, loss: torch.Tensor) -> None:
        rate = self.settings.learning_rate(self.done_frac)
        loss.backward()
        nn.utils.clip_grad_norm_([*self.net.parameters(), *self.heads.parameters()], 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def start_from(self, folder: Path) -> None:
        """Load another checkpoint's weights. Word embeddings are matched by word, because tokenizers may differ."""
        other: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        weights, words = other.state_dict(), Qwen2Tokenizer.from_pretrained(folder).get_vocab()
        own = self.net.state_dict()
        for name, value in weights.items():
            if not name.endswith(("embed_tokens.weight", "lm_head.weight")):
                own[name].copy_(value)
                continue
            for word, number in self.tokenizer.get_vocab().items():
                if word in words:
                    own[name][number] = value[words[word]]

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on, to a temporary file that is then renamed to `path`."""
        partial = path.with_suffix(".partial")
        modules = {"net": self.net.state_dict(), "heads": self.heads.state_dict()}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        torch.save({**modules, "optimizers": optimizers, "step": self.step, "spent_s": self.spent_s}, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.heads.load_state_dict(state["heads"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.spent_s = state["step"], state["spent_s"]


def fit_captioner(out: Path, settings: FitSettings, start: Path | None = None) -> Scores:
    """Run or resume the fit in `out`; returns the held-out scores of the checkpoint that it writes."""
    each, each_held_out = settings.num_clips // len(BUCKETS), settings.held_out_clips // len(BUCKETS)
    held_out = {
        unseen: [open_bucket(out / "clips", name, each_held_out, HELD_OUT_SEED, unseen=unseen) for name in BUCKETS]
        for unseen in (False, True)
    }
    buckets = {name: open_bucket(out / "clips", name, each, 0) for name in BUCKETS}
    fit, state = Fit(settings, fitted_tokenizer()), out / "state.pt"
    if state.exists():
        fit.load(state)
        logger.info("resumed at step %d, after %.0f s", fit.step, fit.spent_s)
    elif start is not None:
        fit.start_from(start)
    reports: list[dict[str, float]] = []
    saved_s = checked_s = logged_s = fit.spent_s
    while fit.done_frac < 1:
        start_s = time.perf_counter()
        reports.append(fit.advance(buckets))
        fit.spent_s += time.perf_counter() - start_s
        if fit.spent_s - logged_s > settings.log_every_s:
            logged_s = fit.spent_s
            _log(out, fit, _means(reports))
            reports.clear()
        if fit.spent_s - saved_s > settings.save_every_s:
            saved_s = fit.spent_s
            fit.save(state)
        if fit.done_frac > settings.vision_only_frac and fit.spent_s - checked_s > settings.check_every_s:
            checked_s = fit.spent_s
            save_captioner(fit.net, fit.tokenizer, out / "captioner")
            _log(out, fit, {"held_out": held_out_scores(fit.net, fit.tokenizer, held_out, settings.held_out_texts)})
    fit.save(state)
    save_captioner(fit.net, fit.tokenizer, out / "captioner")
    scores = held_out_scores(fit.net, fit.tokenizer, held_out, settings.held_out_texts)
    _log(out, fit, {"settings": asdict(settings), "held_out": scores})
    num_parameters = sum(p.numel() for p in fit.net.parameters())
    (out / "captioner" / "README.md").write_text(card(scores, num_parameters, _how_fitted(fit, start)))
    return scores


def _how_fitted(fit: Fit, start: Path | None) -> str:
    settings = fit.settings
    command = f"python -m jobs.fits.captioner.fit --out DIR --minutes {settings.minutes:g} --clips {settings.num_clips}"
    text = f"Fitted by `{command} --seed {settings.seed}`\nin {fit.step:,} steps on one CPU core."
    if start is None:
        return text
    origin = "It continued from an earlier checkpoint (`--start`), which may have seen\nthe pairs called unseen below."
    return f"{text} {origin}"


def _log(out: Path, fit: Fit, facts: Mapping[str, object]) -> None:
    with (out / "log.jsonl").open("a") as stream:
        stream.write(json.dumps({"step": fit.step, "spent_s": round(fit.spent_s, 1), **facts}) + "\n")


def _means(reports: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each number over the reports that have it."""
    values: dict[str, list[float]] = defaultdict(list)
    for report in reports:
        for name, value in report.items():
            values[name].append(value)
    return {name: round(sum(v) / len(v), 4) for name, v in sorted(values.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the built-in captioner on synthetic clips.")
    parser.add_argument("--out", type=Path, required=True, help="folder for clips, state, log and checkpoint")
    parser.add_argument("--minutes", type=float, default=FitSettings.minutes)
    parser.add_argument("--seed", type=int, default=FitSettings.seed)
    parser.add_argument("--clips", type=int, default=FitSettings.num_clips)
    parser.add_argument(
        "--start", type=Path, help="folder of a checkpoint to continue from, for a better fit in less time"
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    scores = fit_captioner(
        args.out, FitSettings(minutes=args.minutes, seed=args.seed, num_clips=args.clips), args.start
    )
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
