"""The grammar that holds an answer to a JSON schema; the same for every engine, so that greedy answers agree.

It admits what `json.dumps` writes: one line, `", "` and `": "` as separators, the fields in the schema's order.
(XGrammar, Dong et al. 2024, arXiv:2411.15100; its EBNF is read by vLLM too.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

BOUNDED_CHARACTER = r"[^\"\\\r\n]"
"""What xgrammar 0.2.8 writes for a character of a string with a `maxLength`. It admits other control characters."""
JSON_CHARACTER = r"[^\0-\x1f\"\\\r\n]"


def grammar(schema: Mapping[str, Any]) -> str:
    """EBNF of the documents that a schema admits.

    Raises:
        ValueError: no JSON schema, or one that has no grammar.
    """
    return _grammar(json.dumps(schema))


@lru_cache(maxsize=64)
def _grammar(schema: str) -> str:
    import xgrammar

    try:
        found = xgrammar.Grammar.from_json_schema(schema, any_whitespace=False)
    except RuntimeError as error:  # xgrammar has no error of its own for this
        raise ValueError(f"no grammar for the JSON schema: {error}") from error
    return str(found).replace(BOUNDED_CHARACTER, JSON_CHARACTER)
