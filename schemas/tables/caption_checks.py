"""What is measured of a caption itself: signs that the captioner failed, whatever the clip shows."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import column


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionChecks:
    """Each number is 0 for a good caption but for the last, which is 1; null where it does not apply."""

    refusal: float | None = column(
        pa.float64(), "1 if it declines to describe or speaks of itself as a model, else 0; text on screen is left out"
    )
    repetition_frac: float | None = column(
        pa.float64(),
        "share of words in 4-grams that were said before, over all fields or in the worst one; characters in 8-grams"
        " where words have no spaces",
    )
    truncated: float | None = column(
        pa.float64(), "1 if it was cut at the limit of tokens or ends within a sentence, else 0"
    )
    wrong_language: float | None = column(
        pa.float64(),
        "1 less the confidence that it is in the language asked for, 1 in another script; null for a language unknown",
    )
    prompt_leak: float | None = column(
        pa.float64(),
        "longest run of words shared with the prompt; 20 if marks of a chat or of JSON are left",
        unit="words",
    )
    padding_frac: float | None = column(
        pa.float64(), "share of words in phrases of filler or opinion; null but for English, Spanish, French and German"
    )
    camera_claims: list[str] | None = column(
        pa.list_(pa.string()),
        "what it says of the camera's motion, such as 'still' or 'pan left'; null but for English. The view `captions`"
        " has `contradicts_camera` of it and of the clip's camera scores of now",
    )
    sample_agreement: float | None = column(
        pa.float64(), "F1 of its content words with those of a second sample of the clip, 0 to 1; null without one"
    )
