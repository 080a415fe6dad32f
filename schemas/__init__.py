"""Every table of a data set, declared once; recipes; and the DuckDB views over the tables."""

from schemas.columns import SchemaError, Table, column
from schemas.tables.caption_identity import CAPTION_IDENTITY
from schemas.tables.captions import CAPTIONS, EMBEDDINGS
from schemas.tables.clips import CLIPS
from schemas.tables.decisions import CAPTION_DECISIONS, DECISIONS
from schemas.tables.duplicates import DUPLICATE_MATCHES, DUPLICATES
from schemas.tables.latents import LATENTS, RELEASES, TEXT
from schemas.tables.measures import MEASURES
from schemas.tables.videos import VIDEOS

TABLES = (
    VIDEOS,
    CLIPS,
    *MEASURES.values(),
    DUPLICATES,
    DUPLICATE_MATCHES,
    DECISIONS,
    CAPTIONS,
    CAPTION_DECISIONS,
    CAPTION_IDENTITY,
    EMBEDDINGS,
    RELEASES,
    LATENTS,
    TEXT,
)

__all__ = [
    "CAPTIONS",
    "CAPTION_DECISIONS",
    "CAPTION_IDENTITY",
    "CLIPS",
    "DECISIONS",
    "DUPLICATES",
    "DUPLICATE_MATCHES",
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
