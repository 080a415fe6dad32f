"""What commands that write captions check and say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from model.builtin import BUILTIN
from pipeline.caption.backends.catalogue import BACKENDS
from pipeline.caption.backends.smollm2 import SMOLLM2
from pipeline.caption.fingerprint import fingerprint
from pipeline.caption.identity.check import Checked
from pipeline.caption.identity.fit import LEAST_CAPTIONS
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.recipe.caption import LANGUAGES

BUILTIN_NOTICE = (
    "captions are by the built-in model, which knows synthetic shapes and not footage; for footage name a model: "
)


def tell_of_builtin(recipe: Recipe) -> None:
    """Say on the console that the built-in model's captions of footage are not to be believed."""
    if recipe.caption.checkpoint == BUILTIN:
        backend = BACKENDS[recipe.caption.backend]
        prompt = " --set caption.prompt=caption" if backend.takes_prompt else ""
        print(f"{BUILTIN_NOTICE}--set caption.checkpoint={backend.for_footage}{prompt}", file=sys.stderr)


def tell_of_unchecked(checked: Iterable[Checked]) -> None:
    """Say on the console if captions fit their clips so little that one of another clip would not be seen."""
    for one in checked:
        if one.num_captions >= LEAST_CAPTIONS and not one.is_evident:
            print(
                f"captioner {one.captioner}: its {one.num_captions} captions fit their clips too little to see whether "
                "each belongs to its clip: they are mixed up, or the model of [embedding] does not know such clips",
                file=sys.stderr,
            )


def require_captioner(recipe: Recipe) -> None:
    """Check what can be known of the captioner without loading it.

    A model is `builtin`, a folder, or a hub's ORGANISATION/MODEL, which only the hub can look up. A server may call its
    model anything, but must have a URL.

    Raises:
        UsageError: no such model, no URL, an unknown language, a prompt that cannot be read, or a setting that a
            backend without a prompt cannot follow.
    """
    caption = recipe.caption
    if caption.backend == "none":
        return
    backend = BACKENDS[caption.backend]
    named = [("embedding.model", recipe.embedding.model)]
    if not backend.is_server:
        named.append(("caption.checkpoint", caption.checkpoint))
        if caption.rewrite_checkpoint not in ("", SMOLLM2):
            named.append(("caption.rewrite_checkpoint", caption.rewrite_checkpoint))
    elif not caption.url:
        raise UsageError(f"recipe {recipe.name}: caption.url is empty, and backend {caption.backend!r} asks a server")
    for key, name in named:
        is_hub_name = name.count("/") == 1 and not name.startswith(("/", ".", "~"))
        if name not in (BUILTIN, "none") and not os.path.isdir(name) and not is_hub_name:
            raise UsageError(f"recipe {recipe.name}: {key} = {name!r}: no such folder, and no ORGANISATION/MODEL")
    if caption.language not in LANGUAGES:
        raise UsageError(
            f"recipe {recipe.name}: caption.language = {caption.language!r}: not in {', '.join(LANGUAGES)}"
        )
    if not backend.takes_prompt:
        _require_no_request(recipe)
    if caption.checkpoint == BUILTIN and caption.language != "en":
        raise UsageError(
            f"recipe {recipe.name}: caption.language = {caption.language!r}: the built-in model knows 'en'"
        )
    try:
        fingerprint(caption)
    except ValueError as error:
        raise UsageError(f"recipe {recipe.name}: caption.prompt: {error}") from None


def _require_no_request(recipe: Recipe) -> None:
    """A backend without a prompt cannot be told anything about the caption.

    Raises:
        UsageError: hints, a language other than English, or merging with titles.
    """
    for name, default in {"hints": False, "language": "en", "rewrite": ""}.items():
        value = getattr(recipe.caption, name)
        if value != default:
            given = f"recipe {recipe.name}: caption.{name} = {value!r}"
            raise UsageError(
                f"{given}: backend {recipe.caption.backend!r} takes no prompt, so this must be {default!r}"
            )
