"""Words that say nothing about the picture: phrases about "the video", opinions, moods, guesses at a meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.words import plain, words

_SOME = r"(?:[\w'-]+,? ){0,6}?"
"""Up to six words between two parts of a phrase."""
_MEDIUM = r"(?:video|clip|image|footage|frame|picture|scene|shot|sequence|photo|animation)"
_TELLS = (
    r"(?:shows?|depicts?|features?|captures?|presents?|portrays?|showcases?|displays?|(?:begins?|opens?|starts?) with)"
)
_MOOD = r"(?:atmosphere|mood|ambi[ae]nce|vibe|feel(?:ing)?|tone|energy|backdrop|narrative|experience)"
PHRASES: dict[str, tuple[str, ...]] = {
    "en": (
        rf"\b(?:this|the) (?:short |entire |whole |given )?{_MEDIUM} (?:\w+ly )?{_TELLS}\b",
        rf"\bthroughout (?:the|this) (?:entire |whole )?{_MEDIUM}\b",
        r"\b(?:visual|emotional) (?:appeal|interest|depth|narrative|impact)\b",
        rf"\b(?:the|its|an?) overall (?:{_MOOD}|impression|effect|aesthetic|composition|scene)\b",
        r"\b(?:serv\w+ as a (?:reminder|symbol|metaphor)|(?:giv|offer|provid)\w* a glimpse (?:into|of))\b",
        r"\bdraw(?:s|ing)? (?:the eye|attention)\b",
        r"\b(?:beautifully|gracefully|picturesque|nestled|serene|tranquil)\b",
        rf"\bin this (?:short |given )?{_MEDIUM}\b",
        rf"\bin the (?:short |given )?{_MEDIUM},",
        r"\b(?:we|you|one) (?:can )?see\b",
        rf"\boverall,? (?:the|this) (?:{_MEDIUM}|{_MOOD}|composition|impression)\b",
        r"\boverall,",
        rf"\b(?:creat|add|giv|lend|evok|convey|enhanc|contribut|impart|establish|sets|setting)\w* {_SOME}{_MOOD}\b",
        rf"\b(?:evok|convey|creat|add|giv|suggest|exud|instil)\w* {_SOME}a? ?sense of (?:\w+ and )?\w+",
        rf"\b{_MOOD} (?:of the {_MEDIUM} )?is (?:\w+,? )?(?:and )?\w+\b",
        r"\b(?:seems|appears) to (?:suggest|convey|reflect|evoke|symboli[sz]e|represent)\b",
        r"\bsuggesting (?:that|an?)\b",
        rf"\badding (?:an? )?{_SOME}(?:to the|touch of|element of|layer of|depth)\b",
        r"\b(?:captivating|stunning|breathtaking|mesmeri[sz]ing|enchanting|awe-inspiring|spectacular|magnificent)\b",
        r"\b(?:delightful|heartwarming|thought-provoking|visually (?:appealing|striking|rich|engaging))\b",
        r"\b(?:truly|remarkable)\b",
        r"\b(?:a |the )?(?:testament to|tapestry of|perfect (?:blend|example|balance) of|beauty of|essence of)\b",
        r"\bit is (?:worth noting|important to note|clear|evident) that\b",
        r"\bthe viewer'?s? (?:attention|eye|is drawn)\b",
        r"\b(?:leaving|inviting|drawing|immersing|captivating) (?:the |a )?(?:viewers?|audience)\b",
    ),
    "es": (
        r"\b(?:este|el) (?:vídeo|video|clip)(?: nos)? (?:muestra|presenta|captura)\b",
        r"\b(?:esta|la) (?:imagen|escena) (?:muestra|captura)\b",
        r"\ben (?:este|el) (?:vídeo|video|clip),?(?: podemos ver| se puede ver| se ve| vemos)?",
        r"\ben general,",
        rf"\b(?:crea|evoca|transmite|añade|aporta)\w* {_SOME}"
        r"(?:atmósfera|ambiente|sensación|toque|encanto)(?: de \w+)?",
        r"\b(?:impresionante|cautivador|cautivadora|fascinante|espectacular|deslumbrante)s?\b",
        r"\bparece (?:sugerir|transmitir)\b",
    ),
    "fr": (
        r"\b(?:cette|la) (?:vidéo|scène|image|séquence) (?:nous )?(?:montre|présente|capture|dépeint)\b",
        r"\bce clip (?:montre|présente)\b",
        r"\bdans cette (?:vidéo|scène|séquence),?(?: on (?:peut )?voi[rt]| nous voyons)?",
        r"\bdans l'ensemble,",
        r"\bglobalement,",
        rf"\b(?:cré|évoqu|ajout|dégag|confèr|conf[ée]r|apport)\w* {_SOME}"
        r"(?:atmosphère|ambiance|sentiment|sensation|touche)(?: de \w+)?",
        r"\b(?:captivante?|époustouflante?|magnifique|saisissante?|envoûtante?|spectaculaire)s?\b",
        r"\bsemble (?:suggérer|évoquer)\b",
    ),
    "de": (
        r"\b(?:dieses|das) (?:video|bild) (?:zeigt|präsentiert)\b",
        r"\b(?:dieser|der) clip zeigt\b",
        r"\b(?:diese|die) szene (?:zeigt|fängt)\b",
        r"\bin (?:diesem|dem) (?:video|clip|bild)(?: sieht man| sehen wir| ist| sind)?",
        r"\bim (?:video|clip)\b",
        r"\binsgesamt\b",
        rf"\b(?:erzeug|vermittel|schaff|verleih|verstärk|erweck)\w* {_SOME}"
        r"(?:atmosphäre|stimmung|gefühl|eindruck)(?: von \w+| der \w+)?",
        rf"\b(?:atmosphäre|stimmung|gefühl) {_SOME}(?:erzeug|vermittel|schaff|verleih)\w*",
        r"\b(?:atemberaubend|beeindruckend|faszinierend|wunderschön|fesselnd|bezaubernd)\w*\b",
        r"\bscheint \w+ anzudeuten\b",
    ),
}
_ANY = {code: re.compile("|".join(f"(?:{phrase})" for phrase in phrases)) for code, phrases in PHRASES.items()}


def padding_frac(fields: Iterable[str], language: str) -> float | None:
    """Share of the words that are in such phrases; None without words, or for a language without a list."""
    text = plain(" ".join(fields))
    num_words = len(words(text))
    if language not in _ANY or not num_words:
        return None
    return sum(len(words(match.group())) for match in _ANY[language].finditer(text)) / num_words
