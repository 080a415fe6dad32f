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


def chat(prompt: str) -> list[dict]:
    """The one user turn, a video and a question, as chat messages for a checkpoint's own template."""
    return [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": prompt}]}]
