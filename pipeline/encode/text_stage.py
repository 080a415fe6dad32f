"""What the graph of texts calls: texts in, their token embeddings written where they are made. No Ray here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.encode.latents import as_half
from pipeline.store.dataset import Dataset
from pipeline.store.part_writer import PartWriter
from pipeline.store.run_statistics import Reporter, timed
from schemas import TEXT
from schemas.identity import bytes_digest
from schemas.recipe.encode import EncodeConfig
from schemas.tables.latents import text_id


class TextWriting:
    """Loads the text encoder once; embeds texts and writes them in parts of a fair size."""

    def __init__(self, dataset: Dataset, config: EncodeConfig, report: Reporter, device: str = "cpu") -> None:
        from model.readers.text_encoder import load_text_encoder

        self._report = report
        self._encoder = load_text_encoder(config.text_encoder, device, config.text_dtype)
        self._table = TEXT.within(self._encoder.fingerprint)
        self._writer = PartWriter(dataset, [self._table])
        self._writer.__enter__()

    def write(self, batches: Iterable[list[str]]) -> None:
        """Embed texts; all embeddings are written when this returns."""
        for texts in batches:
            with timed(self._report, "text") as work:
                arrays = self._encoder.encode(texts)
                rows = [self._row(text, tokens) for text, tokens in zip(texts, arrays, strict=True)]
                self._writer.add({self._table: TEXT.unstamped(rows)})
                work.rows = len(rows)
                work.num_bytes = sum(len(row["data"]) for row in rows)
                work.count("text tokens", sum(len(tokens) for tokens in arrays))
        self._writer.flush()

    def _row(self, text: str, tokens: np.ndarray) -> dict[str, Any]:
        data = as_half(tokens, f"the states of {text!r}").tobytes()
        return {
            "text_id": text_id(text),
            "encoder": self._encoder.fingerprint,
            "text": text,
            "dtype": "float16",
            "shape": list(tokens.shape),
            "data_hash": bytes_digest(data),
            "data": data,
        }
