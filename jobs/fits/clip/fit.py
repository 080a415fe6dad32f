"""Fit the small image-text model on synthetic clips: `python -m jobs.fits.clip.fit --out DIR [--minutes M] [--seed S]`.

Loss: symmetric contrastive cross-entropy (Radford et al. 2021, section 2.3). Every true pair of the batch is a
positive, and texts with one wrong word are further negatives. Two auxiliary losses cost little and are not part of the
model: linear heads predict the facts from either embedding; and each token is predicted from its own final state, which
keeps words that no single frame shows (left, right, zoom) apart in the states that condition a video model.

Shapes: B frames, N texts, F facts, L tokens, D text width, E embedding.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor, nn

from jobs.fits.clip.network import MODEL_CFG, build_tokenizer, normalised, save_model
from jobs.fits.clip.pairs import (
    FACTS,
    FRAMES_PER_CLIP,
    HELD_OUT_SEED,
    IMAGE_PX,
    KIND_WEIGHTS,
    KINDS,
    UNSAID,
    draw_frames,
    one_word_wrong,
    said_facts,
    scene_facts,
    text_of,
    true_pairs,
)
from jobs.fits.clip.scores import retrieval_scores
from model.readers.clip import text_states
from pipeline.synthetic.world import Scene, draw_scene


@dataclass(frozen=True)
class FitConfig:
    """Settings of the fit; the learning rate is a cosine over the time budget."""

    minutes: float = 60.0
    seed: int = 0
    num_clips: int = 24_000
    batch: int = 96
    wrong_texts: int = 32
    learning_rate: float = 1.5e-3
    warmup_frac: float = 0.02
    weight_decay: float = 0.05
    facts_weight: float = 1.0
    token_weight: float = 0.1
    score_every_s: float = 600.0
    num_scored: int = 100


@dataclass(frozen=True)
class Batch:
    """Pixels and token ids, and the facts that scenes show and texts state."""

    pixels_BCHW: Tensor
    ids: list[list[int]]
    scenes_BF: np.ndarray
    texts_NF: np.ndarray


class ClipFit:
    """The model that is being fitted, its auxiliary heads and its data."""

    def __init__(self, config: FitConfig, frames: np.ndarray):
        torch.manual_seed(config.seed)
        self.config, self.frames = config, frames
        self.rng = random.Random(config.seed)
        self.scenes = [draw_scene(seed) for seed in range(len(frames))]
        texts = [text_of(scene, kind) for scene in self.scenes[:4000] for kind in KINDS]
        self.tokenizer = build_tokenizer(texts)
        text_cfg = MODEL_CFG["text_cfg"] | {"vocab_size": len(self.tokenizer)}
        self.model_cfg = MODEL_CFG | {"text_cfg": text_cfg}
        self.model: Any = CLIP(**self.model_cfg)
        self.heads = nn.ModuleList(nn.Linear(MODEL_CFG["embed_dim"], len(values)) for values in FACTS.values())
        parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )

    def draw_batch(self) -> Batch:
        """Random frames, one true text each, and some texts with a wrong word."""
        size = self.config.batch
        indices = self.rng.sample(range(len(self.scenes)), size)
        pixels = np.stack([self.frames[i, self.rng.randrange(FRAMES_PER_CLIP)] for i in indices])
        scenes = [self.scenes[i] for i in indices]
        texts: list[tuple[Scene, str]] = [(s, self.rng.choices(KINDS, KIND_WEIGHTS)[0]) for s in scenes]
        texts += [(one_word_wrong(s, kind, self.rng), kind) for s, kind in texts[: self.config.wrong_texts]]
        length = MODEL_CFG["text_cfg"]["context_length"]
        ids = self.tokenizer([text_of(*pair) for pair in texts], truncation=True, max_length=length)["input_ids"]
        return Batch(
            pixels_BCHW=self._shifted(normalised(pixels)),
            ids=ids,  # type: ignore[arg-type]
            scenes_BF=np.array([scene_facts(scene) for scene in scenes]),
            texts_NF=np.array([said_facts(*pair) for pair in texts]),
        )

    def _shifted(self, pixels_BCHW: Tensor) -> Tensor:
        """Move the batch by up to 3 px and add a little noise, because compressed and resized footage varies so."""
        dy, dx = self.rng.randint(0, 6), self.rng.randint(0, 6)
        padded = F.pad(pixels_BCHW, (3, 3, 3, 3), mode="replicate")[..., dy : dy + IMAGE_PX, dx : dx + IMAGE_PX]
        return padded + 0.05 * torch.randn_like(padded)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The three terms of the loss, each a scalar."""
        image_BE = self.model.encode_image(batch.pixels_BCHW)
        text_NE, token_loss = self._encode_texts(batch.ids)
        scale = self.model.logit_scale.exp().clamp(max=100.0)
        logits_NB = scale * F.normalize(text_NE, dim=-1) @ F.normalize(image_BE, dim=-1).T
        true_NB = torch.from_numpy(true_pairs(batch.texts_NF, batch.scenes_BF)).float()
        contrast = (_soft_cross_entropy(logits_NB, true_NB) + _soft_cross_entropy(logits_NB.T, true_NB.T)) / 2
        facts = (self._facts_loss(image_BE, batch.scenes_BF) + self._facts_loss(text_NE, batch.texts_NF)) / 2
        return {"contrast": contrast, "facts": facts, "tokens": token_loss}

    def _encode_texts(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Embeddings (N, E) and the mean loss of predicting tokens; short and long texts are separate to save
        padding."""
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        pooled, losses = [], []
        for part in (order[: len(order) // 2], order[len(order) // 2 :]):
            width = max(len(ids[i]) for i in part)
            ids_NL = torch.tensor([ids[i] + [0] * (width - len(ids[i])) for i in part])
            states_NLD = text_states(self.model, ids_NL)
            ends = torch.tensor([len(ids[i]) - 1 for i in part])
            pooled.append(states_NLD[torch.arange(len(part)), ends] @ self.model.text_projection)
            rows = (ids_NL > 2).nonzero()[::4]
            states, targets = states_NLD[rows[:, 0], rows[:, 1]], ids_NL[rows[:, 0], rows[:, 1]]
            losses.append(F.cross_entropy(states @ self.model.token_embedding.weight.T, targets))
        return torch.cat(pooled)[torch.tensor(order).argsort()], torch.stack(losses).mean()

    def _facts_loss(self, embeddings: Tensor, facts: np.ndarray) -> Tensor:
        targets = torch.from_numpy(facts)
        losses = [
            F.cross_entropy(head(embeddings), targets[:, i], ignore_index=UNSAID) for i, head in enumerate(self.heads)
        ]
        return torch.stack(losses).nan_to_num().mean()

    def step(self, progress: float) -> dict[str, float]:
        """One update at `progress` in [0, 1] of the time budget; returns the loss terms."""
        config = self.config
        warm = min(progress / config.warmup_frac, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * warm * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        self.model.train()
        terms = self.loss(self.draw_batch())
        total = terms["contrast"] + config.facts_weight * terms["facts"] + config.token_weight * terms["tokens"]
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100.0))
        return {name: value.item() for name, value in terms.items()}


def _soft_cross_entropy(logits: Tensor, true: Tensor) -> Tensor:
    """Cross-entropy to a uniform distribution over the true columns; rows without a true column are left out."""
    rows = true.sum(-1) > 0
    targets = true[rows] / true[rows].sum(-1, keepdim=True)
    return -(targets * logits[rows].log_softmax(-1)).sum(-1).mean()


def fit(config: FitConfig, out: Path, cache: Path) -> dict[str, float]:
    """Fit until the time is up; at each scoring write the model and a line of `fit.jsonl`. Returns the last scores."""
    if config.num_clips > HELD_OUT_SEED:
        raise ValueError(f"num_clips: seeds from {HELD_OUT_SEED} are held out")
    frames = draw_frames(cache / f"frames-{config.num_clips}.npy", range(config.num_clips))
    run = ClipFit(config, frames)
    out.mkdir(parents=True, exist_ok=True)
    start_s, last_score_s, num_steps = time.monotonic(), time.monotonic(), 0
    scores: dict[str, float] = {}
    with open(cache / "fit.jsonl", "a") as log:
        log.write(json.dumps({"config": asdict(config), "num_tokens": len(run.tokenizer)}) + "\n")
        done = False
        while not done:
            progress = min((time.monotonic() - start_s) / (60 * config.minutes), 1.0)
            terms = run.step(progress)
            num_steps += 1
            done = progress >= 1.0
            row: dict[str, float] = {"step": num_steps, "progress": progress, **terms}
            if done or time.monotonic() - last_score_s > config.score_every_s:
                save_model(out, run.model_cfg, run.model, run.tokenizer)
                scores = retrieval_scores(out, HELD_OUT_SEED, config.num_scored)
                row |= scores
                last_score_s = time.monotonic()
            log.write(json.dumps(row) + "\n")
            log.flush()
    return scores | {"num_steps": float(num_steps)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the small image-text model on synthetic clips.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model, in open_clip's format")
    parser.add_argument("--minutes", type=float, default=FitConfig.minutes, help="time budget of the fit")
    parser.add_argument("--seed", type=int, default=FitConfig.seed)
    parser.add_argument("--clips", type=int, default=FitConfig.num_clips, help="number of synthetic clips to fit on")
    parser.add_argument(
        "--cache", type=Path, default=Path("out/clip-frames"), help="folder for synthetic frames and the log"
    )
    args = parser.parse_args()
    config = FitConfig(minutes=args.minutes, seed=args.seed, num_clips=args.clips)
    print(json.dumps(fit(config, args.out, args.cache)))


if __name__ == "__main__":
    main()
