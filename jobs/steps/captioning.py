"""What jobs that write captions check and say beforehand."""

from __future__ import annotations

import os
import sys

from model.builtin import BUILTIN
from pipeline.caption.captioner import fingerprint
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.recipe.caption import LANGUAGES

BUILTIN_NOTICE = (
    "captions are by the built-in model, which knows synthetic shapes and not footage; for footage name a model: "
)
FOR_FOOTAGE = "--set caption.checkpoint=Qwen/Qwen2.5-VL-7B-Instruct --set caption.prompt=caption"
COCA_FOR_FOOTAGE = "--set caption.checkpoint=coca_ViT-L-14/mscoco_finetuned_laion2b_s13b_b90k"


def tell_of_builtin(recipe: Recipe) -> None:
    """Say on the console that the built-in model's captions of footage are not to be believed."""
    if recipe.caption.checkpoint == BUILTIN:
        named = COCA_FOR_FOOTAGE if recipe.caption.backend == "coca" else FOR_FOOTAGE
        print(BUILTIN_NOTICE + named, file=sys.stderr)


def require_captioner(recipe: Recipe) -> None:
    """Models are built in, a folder, or a hub's ORGANISATION/MODEL, which only the hub can look up; a server's may have
    any name, but the server an address.

    Raises:
        UsageError: a name that is none of these, no address, an unknown language, a prompt that cannot be read, or
            anything that CoCa cannot be asked for.
    """
    caption = recipe.caption
    if caption.backend == "none":
        return
    named = [("embedding.model", recipe.embedding.model)]
    if caption.backend != "openai":
        named.append(("caption.checkpoint", caption.checkpoint))
    elif not caption.url:
        raise UsageError(f"recipe {recipe.name}: caption.url is empty, and backend 'openai' asks a server")
    for key, name in named:
        is_hub_name = name.count("/") == 1 and not name.startswith(("/", ".", "~"))
        if name not in (BUILTIN, "none") and not os.path.isdir(name) and not is_hub_name:
            raise UsageError(f"recipe {recipe.name}: {key} = {name!r}: no such folder, and no ORGANISATION/MODEL")
    if caption.language not in LANGUAGES:
        raise UsageError(
            f"recipe {recipe.name}: caption.language = {caption.language!r}: not in {', '.join(LANGUAGES)}"
        )
    if caption.backend == "coca":
        _require_nothing_asked(recipe)
    if caption.checkpoint == BUILTIN and caption.language != "en":
        raise UsageError(
            f"recipe {recipe.name}: caption.language = {caption.language!r}: the built-in model knows 'en'"
        )
    try:
        fingerprint(caption)
    except ValueError as error:
        raise UsageError(f"recipe {recipe.name}: caption.prompt: {error}") from None


def _require_nothing_asked(recipe: Recipe) -> None:
    """CoCa is shown a clip and asked nothing, so it has no use for what only a question can tell.

    Raises:
        UsageError: hints, a language other than English, or merging with titles.
    """
    for name, default in {"hints": False, "language": "en", "rewrite": ""}.items():
        value = getattr(recipe.caption, name)
        if value != default:
            given = f"recipe {recipe.name}: caption.{name} = {value!r}"
            raise UsageError(f"{given}: backend 'coca' takes no prompt, so this must be {default!r}")
