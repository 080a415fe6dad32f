"""The checks on captions fire on captions made to fail them and leave 200 good ones alone."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest

from pipeline.caption.checks import check
from pipeline.caption.checks.agreement import sample_agreement
from pipeline.caption.checks.camera_claims import PATTERNS, claims
from pipeline.caption.checks.language import wrong_language
from pipeline.caption.checks.measure import VERSION, check_again
from pipeline.caption.prompts.templates import load_prompt
from pipeline.synthetic.world import draw_scene, structured_caption
from schemas.contradiction import CONTRADICTS_CAMERA, contradicts_camera
from schemas.structured_caption import FIELDS, StructuredCaption, to_json
from schemas.tables.caption_checks import CaptionChecks
from tests.pipeline.caption.good_captions import good_captions

TEMPLATE = load_prompt("caption", ("language", "hints"))
PROMPT = f"{TEMPLATE.system}\n{TEMPLATE.user}"
MAX = {
    "refusal": 0.5,
    "repetition_frac": 0.6,
    "truncated": 0.5,
    "wrong_language": 0.5,
    "prompt_leak": 6.0,
    "padding_frac": 0.04,
    "contradicts_camera": 0.5,
}
"""Rules for a recipe. The good ones reach 0, 0.5, 0, 0.001, 4, 0 and 0; the bad ones begin at 0.75 of
repetition, 8 words of a prompt, and 0.045 for one sentence of filler in a whole caption."""
MIN_AGREEMENT = 0.25
GOOD = good_captions() + [("en", structured_caption(draw_scene(seed))) for seed in range(100)]
BASE = GOOD[0][1]


def scores(
    caption: StructuredCaption = BASE,
    *,
    answer: str | None = None,
    was_cut: bool = False,
    language: str = "en",
    prompt: str = PROMPT,
    camera: Mapping[str, Any] | None = None,
    other: StructuredCaption | None = None,
) -> dict[str, Any]:
    """What the checks make of a caption whose answer was its JSON, and the camera's motion of what it claims."""
    answer = to_json(caption) if answer is None else answer
    found = check(caption, answer=answer, was_cut=was_cut, language=language, prompt=prompt, other=other)
    return found | {"contradicts_camera": contradicts_camera(found["camera_claims"], camera or measured("complex"))}


def score(name: str, *args: Any, **kwargs: Any) -> float:
    value = scores(*args, **kwargs)[name]
    assert value is not None
    return value


UNMEASURED = {"camera_motion": None, "camera_strength": None, "camera_confidence": None}


def measured(motion: str, strength_px_s: float = 9.0, confidence: float = 0.9) -> dict[str, Any]:
    return {"camera_motion": motion, "camera_strength": strength_px_s, "camera_confidence": confidence}


def test_a_row_is_what_the_table_wants() -> None:
    names = [field.name for field in dataclasses.fields(CaptionChecks)]
    assert list(scores()) == [*names, CONTRADICTS_CAMERA.name]


def test_good_captions_pass() -> None:
    assert len(GOOD) == 200
    for language, caption in GOOD:
        row = scores(caption, language=language, other=caption)
        above = {name: row[name] for name, most in MAX.items() if (row[name] or 0.0) > most}
        assert not above, (caption, above)
        assert row["sample_agreement"] == 1


def test_true_drawn_captions_agree_with_their_camera() -> None:
    for seed in range(100):
        scene = draw_scene(seed)
        found = scores(structured_caption(scene), camera=measured(scene.camera))["contradicts_camera"]
        assert found == (None if scene.camera == "shake" else 0)


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I cannot describe this clip",
    "As an AI language model, I do not have the ability to watch videos.",
    "No image was provided.",
    "I’m unable to view the video, please upload it again.",
    "The frames appear to be blank; no frames were provided",
    "Unfortunately, the subject cannot be determined.",
    "I apologize, but the content is not something that can be described.",
    "Lo siento, no puedo ver el vídeo.",
    "Como modelo de lenguaje, no tengo acceso a imágenes.",
    "Je suis désolé, je ne peux pas décrire cette vidéo.",
    "En tant qu'IA, je n'ai pas accès aux images.",
    "Es tut mir leid, aber ich kann das Video nicht sehen.",
    "Als KI habe ich keinen Zugriff auf Bilder",
    "Mi dispiace, non posso aiutarti con questa richiesta.",
    "Desculpe, não consigo ver o vídeo.",
    "Извините, я не могу описать это видео.",
    "К сожалению, я не вижу изображения.",
    "抱歉，我无法查看这个视频。",
    "作为一个人工智能语言模型，我没有视觉能力。",
    "您没有提供任何图片，请上传。",
    "申し訳ありませんが、この動画を見ることができません。",
    "私は言語モデルなので、映像を説明できません。",
    "죄송합니다. 동영상을 볼 수 없습니다.",
    "저는 AI 언어 모델이므로 설명할 수 없습니다.",
    "عذرًا، لا أستطيع مشاهدة الفيديو.",
    "بصفتي نموذجا لغويا لا أرى الصور",
    "No frames provided.",
    "This request cannot be fulfilled.",
    "I have no way to view videos.",
    "No dispongo de acceso al vídeo.",
    "Ich habe keinen Zugriff auf das Video.",
    "图片无法显示，请重新上传。",
    "動画が添付されていないようです。",
    "The video could not be loaded.",
    "It is not possible to describe the action without seeing the frames.",
    "No se puede ver ninguna imagen.",
    "Leider kann ich keine Videos ansehen.",
    "Non ho la capacità di vedere video.",
    "У меня нет возможности просматривать видео.",
    "動画を見ることができません。",
    "비디오를 볼 수 없습니다.",
    "मुझे वीडियो दिखाई नहीं दे रहा है।",
    "क्षमा करें, मैं यह वीडियो नहीं देख सकता।",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text: str) -> None:
    assert score("refusal", StructuredCaption(subject=text), language="zh") == 1
    assert score("refusal", dataclasses.replace(BASE, setting=text)) == 1
    assert score("refusal", StructuredCaption(), answer=text) == 1


@pytest.mark.parametrize(
    "caption",
    [
        dataclasses.replace(BASE, on_screen_text="I'm sorry, I cannot do that. As an AI, I ..."),
        dataclasses.replace(BASE, setting="A poster says \"I'm sorry, I can't come\" above a door."),
        dataclasses.replace(BASE, action="pulls at a rope but cannot lift the sack, and makes a sorry face"),
        dataclasses.replace(BASE, setting="Fog hides the hills; the far shore cannot be seen."),
        dataclasses.replace(BASE, subject="A slide on language models and AI assistants"),
        dataclasses.replace(BASE, setting="A sign with the words please provide identification hangs on the wall."),
        StructuredCaption("Ein Mann, der sein Fahrrad nicht finden kann,", "sucht unter den Bäumen"),
        StructuredCaption("Una mujer", "no puede abrir el paraguas por el viento"),
        StructuredCaption("Un bambino", "non riesce ad aprire la scatola e la scuote"),
        StructuredCaption("Мальчик", "не может поднять ведро и зовёт сестру"),
        StructuredCaption("霧のため", "遠くの山は見ることができない"),
        StructuredCaption("아이", "가 상자를 열지 못하고 흔든다"),
        dataclasses.replace(BASE, setting="因为有雾，远处的山看不清，他抱歉地笑了笑"),
    ],
)
def test_what_a_scene_says_is_no_refusal(caption: StructuredCaption) -> None:
    assert score("refusal", caption) == 0


LOOPS = [
    ("en", dataclasses.replace(BASE, action="walks, the man walks, " + "the man walks, " * 10)),
    ("en", dataclasses.replace(BASE, setting="very " * 30)),
    ("en", dataclasses.replace(BASE, light="The light is soft and warm and " + "soft and warm and " * 8)),
    ("en", dataclasses.replace(BASE, style=BASE.setting)),
    ("en", dataclasses.replace(BASE, camera=BASE.light)),
    ("en", StructuredCaption(subject=BASE.action, action=BASE.action)),
    ("en", dataclasses.replace(BASE, action="pours milk into the cup. " * 4)),
    ("es", StructuredCaption("Un perro", "corre por la playa y " * 12)),
    ("de", StructuredCaption("Ein Mann", "geht " + "die Straße entlang und dann " * 9)),
    ("ru", StructuredCaption("Мужчина", "идёт по улице, " * 12)),
    ("zh", StructuredCaption("一个男人", "在街上走，一个男人在街上走，" * 8)),
    ("ja", StructuredCaption("男性", "が道を歩いています。男性" * 8)),
    ("ko", StructuredCaption("한 남자", "가 길을 걷고 있고 " * 10)),
    ("ar", StructuredCaption("رجل", "يمشي في الشارع ثم " * 10)),
    ("hi", StructuredCaption("एक आदमी", "सड़क पर चलता है और " * 10)),
]


@pytest.mark.parametrize(("language", "caption"), LOOPS)
def test_loops_and_copied_fields(language: str, caption: StructuredCaption) -> None:
    assert score("repetition_frac", caption, language=language) > MAX["repetition_frac"]


def test_repetition_is_the_share_of_words_said_before() -> None:
    caption = StructuredCaption("a b c d e f", "", "g h i j k l m n", "a b c d x y z w v u")
    assert score("repetition_frac", caption) == 4 / 10
    assert score("repetition_frac", StructuredCaption("a b c", "a b c")) == 0


CUT_ANSWERS = [
    to_json(BASE)[:120],
    to_json(BASE)[:-1],
    to_json(BASE)[:-3],
    "```json\n" + to_json(BASE)[:200],
    '{"subject": "A man", "action": "holds a sign {',
    '{"subject": "A man", "action": "says \\"yes',
    "{",
    "A man walks along the beach and picks up a",
    "一个男人走在街上，手里拿着",
    "Ein Mann geht über die Straße und",
]


@pytest.mark.parametrize("answer", CUT_ANSWERS)
def test_answers_without_their_end(answer: str) -> None:
    assert score("truncated", StructuredCaption(), answer=answer) == 1


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "A narrow street with a"),
        ("en", "A man, a woman and"),
        ("en", "The light is warm, with tones of red,"),
        ("es", "Una calle con muchas casas de"),
        ("fr", "Une rue bordée de maisons et"),
        ("de", "Eine Straße mit Häusern und"),
        ("ru", "На улице стоят дома и"),
        ("zh", "背景是一条街道，"),
        ("ja", "背景には赤い屋根の家が"),
        ("hi", "पीछे एक पेड़ और"),
    ],
)
def test_fields_that_stop_within_a_sentence(language: str, text: str) -> None:
    assert score("truncated", dataclasses.replace(BASE, setting=text), language=language) == 1


@pytest.mark.parametrize(
    "answer",
    [
        to_json(BASE),
        f"```json\n{to_json(BASE)}\n```",
        f"Here it is: {to_json(BASE)} That is all",
        '{"subject": "braces } { and \\" inside"}',
        "A man walks along the beach.",
        "一个男人走在街上。",
        "एक आदमी चलता है।",
        'He says "yes."',
        "",
    ],
)
def test_whole_answers(answer: str) -> None:
    assert score("truncated", answer=answer) == 0
    assert score("truncated", answer=answer, was_cut=True) == 1


BY_LANGUAGE = {code: [caption for found, caption in good_captions() if found == code] for code, _ in good_captions()}


@pytest.mark.parametrize("language", BY_LANGUAGE)
def test_captions_in_another_language(language: str) -> None:
    for other, captions in BY_LANGUAGE.items():
        if other != language:
            assert all(
                score("wrong_language", caption, language=language) > MAX["wrong_language"] for caption in captions
            )


def test_a_field_in_another_script_is_wrong() -> None:
    assert score("wrong_language", dataclasses.replace(BASE, setting=BY_LANGUAGE["zh"][0].setting)) == 1
    assert score("wrong_language", dataclasses.replace(BY_LANGUAGE["ru"][0], light=BASE.light), language="ru") == 1


def test_short_texts_signs_and_names_are_in_their_language() -> None:
    assert wrong_language(["Pizza al forno"], "en") == 0
    assert wrong_language(["一只猫"], "zh") == 0
    assert wrong_language(["一只猫"], "en") == 1
    assert wrong_language(["12 : 30"], "en") is None
    assert wrong_language(["A man waves."], "tlh") is None
    assert score("wrong_language", dataclasses.replace(BASE, on_screen_text="今天我们不营业，请明天再来")) < 0.01
    assert (
        score(
            "wrong_language",
            dataclasses.replace(BASE, setting="Above the shop a sign says “今天我们不营业，请明天再来”."),
        )
        < 0.01
    )
    text = "A large red circle with a dotted surface moves slowly to the left and spins. The background is plain grey."
    assert wrong_language([text], "en") == pytest.approx(0, abs=0.01)


LEAKS = [
    "who or what is seen, as a noun phrase with its visible details",
    "A man. Say only what can be seen. No guesses about names",
    "how the camera moves and how the shot is framed, as a sentence",
    "These are frames of one video clip, in order of time.",
    "You state what is seen and nothing else",
    "A dog runs<|im_end|>",
    "assistant: A dog runs",
    '```json {"subject',
    '"subject": "A dog"',
    "A dog runs. **Setting:** a park. **camera**: static",
    "camera: static",
    "[INST] A dog",
    "<think>A dog</think>",
]


@pytest.mark.parametrize("text", LEAKS)
def test_leaks_of_the_prompt(text: str) -> None:
    assert score("prompt_leak", dataclasses.replace(BASE, setting=text)) > MAX["prompt_leak"]


def test_leaks_in_other_scripts_and_filled_in_hints() -> None:
    prompt = "只描述画面中能看到的内容，不要猜测人物的姓名和感受。\n{hints}"
    leaking = dataclasses.replace(BASE, setting="街道。只描述画面中能看到的内容，不要猜测")
    assert score("prompt_leak", leaking, prompt=prompt, language="zh") > MAX["prompt_leak"]
    hinted = dataclasses.replace(BASE, camera="The camera pans left at about nine pixels a second.")
    assert score("prompt_leak", hinted, prompt="Measured: {hints} Use it.") <= 1
    assert score("prompt_leak", hinted, prompt="pans {hints} left") == 1


def test_prompt_leak_counts_words() -> None:
    caption = StructuredCaption("a cat and nothing else besides", "sleeps")
    assert score("prompt_leak", caption, prompt="You state what is seen and nothing else.") == 3
    assert score("prompt_leak", caption, prompt="") == 0


PADDED = [
    ("en", "The video shows a man who walks through a park, creating a serene and peaceful atmosphere."),
    ("en", "In this clip, we can see a dog on a beach. Overall, the scene evokes a sense of freedom."),
    ("en", "A captivating and stunning view of a lake that leaves the audience in a calm mood, truly breathtaking."),
    ("en", "The image depicts a street at night, adding to the mysterious mood of the city."),
    ("en", "The boat drifts, which seems to suggest solitude, conveying a deep sense of longing."),
    ("en", "The footage captures a bride, a testament to the beauty of love."),
    ("en", "The overall atmosphere is lively and joyful, inviting viewers to join in."),
    ("en", "This short scene showcases a cook. The mood is warm and welcoming, giving it a homely feel."),
    ("en", "It is clear that the man is tired, and the viewer's attention is drawn to his mesmerizing eyes."),
    ("en", "A picturesque village nestled in the hills serves as a reminder of the past."),
    ("es", "El vídeo muestra una playa impresionante y crea una atmósfera de calma."),
    ("es", "En este vídeo podemos ver a un hombre, lo que transmite una sensación de paz."),
    ("fr", "La vidéo montre un lac magnifique, créant une ambiance de sérénité."),
    ("fr", "Dans cette vidéo, on peut voir un chien, ce qui évoque un sentiment de liberté."),
    ("de", "Das Video zeigt einen atemberaubenden See und erzeugt eine ruhige Stimmung."),
    ("de", "In diesem Video sieht man einen Hund. Insgesamt vermittelt die Szene ein Gefühl von Freiheit."),
]


@pytest.mark.parametrize(("language", "text"), PADDED)
def test_padding(language: str, text: str) -> None:
    assert score("padding_frac", StructuredCaption(text), language=language) > 0.2
    if language == "en":
        assert score("padding_frac", dataclasses.replace(BASE, setting=text)) > MAX["padding_frac"]
    assert scores(StructuredCaption(text), language="it")["padding_frac"] is None


CONTRADICTIONS = [
    ("The camera is static.", "pan left"),
    ("A static shot.", "zoom in"),
    ("The camera does not move.", "tilt down"),
    ("There is no camera movement.", "roll"),
    ("The camera remains fixed on a tripod.", "pan right"),
    ("The camera stands perfectly still.", "zoom out"),
    ("The camera pans right.", "pan left"),
    ("The camera slowly pans to the left.", "pan right"),
    ("The camera pans from left to right.", "pan left"),
    ("A slow leftward pan.", "pan right"),
    ("The camera trucks right alongside the car.", "pan left"),
    ("The camera zooms in on the man.", "zoom out"),
    ("A slow dolly-in.", "zoom out"),
    ("The camera pushes in.", "zoom out"),
    ("The camera slowly pulls back.", "zoom in"),
    ("The camera moves forward.", "zoom out"),
    ("The camera tilts up.", "tilt down"),
    ("The camera tilts slowly downwards.", "tilt up"),
    ("The drone rises above the trees.", "tilt down"),
    ("The camera pans across the room.", "still"),
    ("A tracking shot follows the runner.", "still"),
    ("The camera zooms in.", "still"),
    ("The camera shakes.", "still"),
    ("Camera tilting from top to bottom.", "tilt up"),
    ("There is a slight camera movement to the left.", "pan right"),
    ("The camera orbits the statue.", "still"),
]


@pytest.mark.parametrize(("text", "motion"), CONTRADICTIONS)
def test_contradictions_of_the_camera(text: str, motion: str) -> None:
    said = dataclasses.replace(BASE, camera=text)
    assert score("contradicts_camera", said, camera=measured(motion)) == 1
    elsewhere = StructuredCaption("A man", "walks", "A street.", light=text)
    if "camera" in text or "static" in text:
        assert score("contradicts_camera", elsewhere, camera=measured(motion)) == 1
    for undecided in (UNMEASURED, measured(motion, confidence=0.4), measured("complex"), measured("shake")):
        assert scores(said, camera=undecided)["contradicts_camera"] is None
    assert scores(said, camera=measured(motion), language="de")["contradicts_camera"] is None


@pytest.mark.parametrize(
    ("text", "motion", "expected"),
    [
        ("The camera pans left.", "pan left", 0),
        ("The camera follows the man as he runs.", "pan left", 0),
        ("The camera is static at first, then pans left.", "pan left", 0),
        ("The camera is still panning left.", "pan left", 0),
        ("Without zooming or panning, the camera is fixed.", "still", 0),
        ("The camera does not move; a train tracks in.", "still", 0),
        ("Static, with a slight zoom.", "still", 0),
        ("Dolly in on her face.", "zoom in", 0),
        ("The camera rises.", "tilt up", 0),
        ("The camera pans left and right.", "pan right", 0),
        ("The camera zooms in and out.", "zoom out", 0),
        ("The camera moves in front of the couple.", "zoom out", 0),
        ("The camera movement is minimal.", "still", None),
        ("The camera captures the man moving left.", "pan right", None),
        ("The camera zooms in.", "pan left", None),
        ("Handheld close-up.", "still", None),
        ("A wide shot at eye level.", "still", None),
        ("", "pan left", None),
    ],
)
def test_what_the_camera_may_be_said_to_do(text: str, motion: str, expected: float | None) -> None:
    assert scores(dataclasses.replace(BASE, camera=text), camera=measured(motion))["contradicts_camera"] == expected


def test_a_slow_drift_may_be_called_static_and_cameras_in_the_scene_are_none() -> None:
    assert scores(camera=measured("pan left", strength_px_s=3.0))["contradicts_camera"] is None
    seen = StructuredCaption("A girl", "walks toward the camera, pans for gold and zooms past", "Static is in the air.")
    assert scores(seen, camera=measured("pan left"))["contradicts_camera"] is None
    assert claims("The camera does not pan, tilt or zoom.") == set()


SAME_AGAIN = [
    (0, "A bearded barista in a denim apron|pours steamed milk from a steel jug into a coffee cup, making a leaf"),
    (3, "A border collie with brown and white fur|runs over the grass, jumps and catches a blue frisbee"),
    (8, "A silver train with a blue stripe|arrives at an elevated station and stops as people step back"),
    (13, "A basketball player in a white jersey, number 23|dribbles past two defenders and dunks the ball"),
    (19, "Two hands|dice a red onion with a knife and put the pieces in a bowl"),
    (24, "A small orange fox in a blue scarf|hops over stones in a brook and slips on the last stone"),
    (29, "A mouse pointer in a drawing program|opens a menu, chooses Gaussian Blur and moves a slider"),
    (43, "A potter with wet arms|centres clay on a spinning wheel and pulls up the wall of a bowl"),
]


@pytest.mark.parametrize(("place", "text"), SAME_AGAIN)
def test_a_second_sample_agrees_more_than_another_clip(place: int, text: str) -> None:
    first = GOOD[place][1]
    subject, action = text.split("|")
    told = StructuredCaption(first.subject, first.action)
    again = sample_agreement(told, StructuredCaption(subject, action))
    assert again is not None
    assert again > MIN_AGREEMENT
    for _, other in GOOD[:60]:
        if other is not first:
            agreement = score("sample_agreement", told, other=StructuredCaption(other.subject, other.action))
            assert agreement < MIN_AGREEMENT


@pytest.mark.parametrize("language", ["en", "de", "zh", "ja", "hi"])
def test_captions_of_other_clips_disagree(language: str) -> None:
    captions = BY_LANGUAGE[language]
    for first, second in pairwise(captions):
        assert score("sample_agreement", first, other=second) < MIN_AGREEMENT
    assert sample_agreement(captions[0], None) is None
    assert sample_agreement(captions[0], StructuredCaption()) is None


ODD_TEXTS = [
    "",
    " ",
    "\n\n",
    "🙂🙂🙂",
    "\x00\x07\x1b[0m",
    "\ud800",
    "{" * 50,
    '"' * 51,
    "\\" * 40,
    "!?.,;:",
    "ﷺ",
    "ａｂｃ",
]
ODD_TEXTS += ["word " * 10_000, "字" * 10_000, "a" * 10_000, "the camera " * 2_000, "я" * 300 + "字" * 300]


@pytest.mark.parametrize("language", ["en", "de", "zh", "hi", "xx"])
def test_any_text_has_scores_in_range(language: str) -> None:
    rng = random.Random(5)
    alphabet = "aeTh .,'\"{}:<|>-0é字あ한ش कि\u0301\u200b\n🙂"
    noise = ["".join(rng.choices(alphabet, k=rng.randrange(1, 300))) for _ in range(40)]
    for text in (*ODD_TEXTS, *noise):
        for caption in (StructuredCaption(**dict.fromkeys(FIELDS, text)), StructuredCaption(text)):
            row = scores(caption, answer=text, language=language, prompt=text, camera=measured("still"), other=BASE)
            assert set(row.pop("camera_claims") or ()) <= PATTERNS.keys()
            for name, value in row.items():
                most = float("inf") if name == "prompt_leak" else 1
                assert value is None or 0 <= value <= most, (name, text[:40])


@pytest.mark.parametrize("was_cut", [False, True])
def test_a_stored_caption_is_checked_again_as_it_was_checked_first(was_cut: bool) -> None:
    caption = StructuredCaption(
        "A dog", "runs", "In the kind of park that", "The camera pans left.", on_screen_text="EXIT"
    )
    prompt = "Describe the clip in the kind of park that you see."
    asked = {"language": "en", "prompt": prompt, "other": caption}
    first = check(caption, answer=to_json(caption), was_cut=was_cut, **asked)
    row = {**asdict(caption), **dict.fromkeys(first), "language": "en", "was_cut": was_cut}
    again = check_again(row, prompt)
    assert again == {name: first[name] for name in first if name != "sample_agreement"} | {"checks_version": VERSION}
    assert first["prompt_leak"] > 4
    assert "prompt_leak" not in check_again(row, None)


@pytest.mark.parametrize("truncated", [0.0, 1.0, None])
def test_of_an_answer_that_is_not_known_to_be_whole_what_was_found_stays(truncated: float | None) -> None:
    row = {**asdict(StructuredCaption("A dog", "runs.")), "language": "en", "was_cut": None, "truncated": truncated}
    assert check_again(row, None)["truncated"] == (truncated or 0.0)
