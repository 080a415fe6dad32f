"""A folder that diffusers' pipelines load: model_index.json, transformer/, scheduler/, and vae/ where the codec is one
of diffusers.

A part that is not in the folder is null in the index, as the text encoder always is. diffusers then asks to be told so,
`WanPipeline.from_pretrained(FOLDER, text_encoder=None, tokenizer=None, vae=None)`, and is given embeddings: those of
the prompt as `prompt_embeds`, and zeros of one token as `negative_prompt_embeds`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.checkpoint import read_config, write_json
from model.codec.folders import CODEC_FILES, codec_folder
from model.codec.published.specs import CLASS_KEY
from model.transformer.published import dit, wan
from model.transformer.published.folders import write_published
from model.transformer.transformer import Transformer

VERSION = "0.42.0"
"""Of diffusers, whose layout this is."""
NOTHING = [None, None]
PIPELINES: dict[str, tuple[str, str, dict[str, Any]]] = {
    wan.CLASS: (
        "WanPipeline",
        "AutoencoderKLWan",
        {
            **{"text_encoder": NOTHING, "tokenizer": NOTHING, "transformer_2": NOTHING},
            **{"boundary_ratio": None, "expand_timesteps": False},
        },
    ),
    dit.CLASS: ("DiTPipeline", "AutoencoderKL", {}),
}
"""Of each class of transformers: its pipeline, the class of its codec, and what else is in the index."""


def write_pipeline(
    folder: Path,
    transformer: Transformer,
    class_name: str,
    scheduler: Mapping[str, Any],
    autoencoder: str,
    *,
    rows: int = 0,
) -> None:
    """Write a pipeline.

    Args:
        class_name: of the transformer.
        scheduler: its settings, with its class.
        autoencoder: name of the codec.
        rows: of the latents of a DiT.
    Raises:
        ValueError: the class does not express this transformer.
    """
    pipeline, codec_class, more = PIPELINES[class_name]
    write_published(folder / "transformer", transformer, class_name, rows=rows)
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", {"_diffusers_version": VERSION, **scheduler})
    index = {
        "_class_name": pipeline,
        "_diffusers_version": VERSION,
        "transformer": ["diffusers", class_name],
        "scheduler": ["diffusers", scheduler["_class_name"]],
        "vae": ["diffusers", codec_class] if _copied_codec(autoencoder, folder) == codec_class else NOTHING,
    }
    write_json(folder / "model_index.json", index | more)


def _copied_codec(autoencoder: str, folder: Path) -> str | None:
    """Copy a codec that is one of diffusers' into `vae`; its class."""
    source = codec_folder(autoencoder)
    class_name = read_config(source).get(CLASS_KEY)
    if class_name is not None:
        (folder / "vae").mkdir(exist_ok=True)
        for file in sorted(path for kind in CODEC_FILES for path in source.glob(kind)):
            shutil.copyfile(file, folder / "vae" / file.name)
    return class_name
