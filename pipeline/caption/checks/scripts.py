"""The letters of the large written languages."""

from __future__ import annotations

_LATIN, _CYRILLIC, _HAN = r"A-Za-z\u00aa-\u024f\u1e00-\u1eff", r"\u0400-\u052f", r"\u3400-\u9fff\uf900-\ufaff"
_ARABIC, _DEVANAGARI = r"\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff", r"\u0900-\u097f"
_KANA, _HANGUL = r"\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f", r"\uac00-\ud7af\u1100-\u11ff\u3130-\u318f"
_LANGUAGES = {
    _LATIN: "ca cs da de en es et fi fr hr hu id it lt lv ms nl no pl pt ro sk sl sq sv tl tr vi",
    _CYRILLIC: "bg ru uk",
    _ARABIC: "ar fa ur",
    _DEVANAGARI: "hi mr",
    _HAN: "zh",
    _HAN + _KANA: "ja",
    _HANGUL: "ko",
    r"\u0370-\u03ff": "el",
    r"\u0590-\u05ff": "he",
    r"\u0e00-\u0e7f": "th",
    r"\u0980-\u09ff": "bn",
    r"\u0a00-\u0a7f": "pa",
    r"\u0a80-\u0aff": "gu",
    r"\u0b80-\u0bff": "ta",
    r"\u0c00-\u0c7f": "te",
    r"\u0c80-\u0cff": "kn",
    r"\u0d00-\u0d7f": "ml",
}
SCRIPTS: dict[str, str] = {code: script for script, codes in _LANGUAGES.items() for code in codes.split()}
"""For each large written language, by its ISO 639-1 code, its letters as the inside of a character class."""
