"""What a captioner is asked, in one place: the builtin network is fitted on these very words.

Changing a prompt changes `PROMPTS`, so every caption's fingerprint, and asks for a new fit of the builtin network.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["short", "detailed"]

PROMPTS: dict[Kind, str] = {
    "short": "Say what this video shows in one short sentence.",
    "detailed": "Describe this video in detail: subject, motion, background, light, camera. Say only what is seen.",
}


def chat(kind: Kind, *, image: bool = False, prompt: str | None = None) -> list[dict]:
    """The one user turn, as chat messages for a processor's template; `prompt` replaces the default words."""
    medium = {"type": "image"} if image else {"type": "video"}
    return [{"role": "user", "content": [medium, {"type": "text", "text": prompt or PROMPTS[kind]}]}]
