"""Every table of a data set, declared once; recipes; and the DuckDB views over the tables."""

from schemas.captions import CAPTIONS, EMBEDDINGS
from schemas.clips import CLIPS
from schemas.columns import SchemaError, Table, column
from schemas.decisions import CAPTION_DECISIONS, DECISIONS
from schemas.duplicates import DUPLICATES
from schemas.latents import LATENTS, RELEASES, TEXT
from schemas.measures import MEASURES
from schemas.videos import VIDEOS

TABLES = (
    VIDEOS,
    CLIPS,
    *MEASURES.values(),
    DUPLICATES,
    DECISIONS,
    CAPTIONS,
    CAPTION_DECISIONS,
    EMBEDDINGS,
    RELEASES,
    LATENTS,
    TEXT,
)

__all__ = [
    "CAPTIONS",
    "CAPTION_DECISIONS",
    "CLIPS",
    "DECISIONS",
    "DUPLICATES",
    "EMBEDDINGS",
    "LATENTS",
    "MEASURES",
    "RELEASES",
    "TABLES",
    "TEXT",
    "VIDEOS",
    "SchemaError",
    "Table",
    "column",
]
