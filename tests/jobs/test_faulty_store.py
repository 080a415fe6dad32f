"""Jobs whose inputs and data set are on a store that fails: rows with a reason, or one line and exit status 1; once the
store answers again, the tables of a run that nothing disturbed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from tests.faulty_store import BUSY, CLOSED, CUT, DELETE, GET, HEAD, LIST, POST, PUT, SLOW, STALLED, FaultyStore
from tests.faulty_store import faulty_store as serve_faulty_store
from tests.jobs.conftest import FEW_FILES, SCRIPTED, said_of
from tests.newest_rows import Rows, newest_rows
from tests.pipeline.caption.serving import ScriptedServer, completion

UNREADABLE = {"05_blink.mp4": (BUSY, HEAD), "07_rotated.mp4": (CUT, GET), "image.png": (CLOSED, GET)}
MAX_FAILURES, DISTURBED_RUNS = 2, 3
RECIPE = f"{SCRIPTED}[limits]\nmax_failures = {MAX_FAILURES}\n"


@dataclass(frozen=True)
class World:
    """The store with inputs in `lake/in`, and a data set that nothing disturbed: curated, encoded, captioned again."""

    store: FaultyStore
    recipe: Path
    whole: Dataset
    curated: Rows
    """Its newest rows before it was encoded and captioned again."""

    def dataset(self, name: str) -> Dataset:
        return Dataset(self.store.uri(f"sets/{name}"))

    def curate(self, dataset: Dataset) -> list[str]:
        return ["curate", self.store.uri("in"), "--out", dataset.location, "--recipe", str(self.recipe)]

    def read(self) -> set[str]:
        """Names of the inputs that were asked for since the store was mended."""
        return {key.rpartition("/")[2] for kind, key, _ in self.store.schedule.requests if "/in/" in key}


@pytest.fixture(scope="module")
def of_module(two_cpus: str, drawn_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    recipe = tmp_path_factory.mktemp("store") / "recipe.toml"
    server = ScriptedServer(lambda asked, before: (200, completion(said_of(asked))))
    with serve_faulty_store() as store, server.listening() as url:
        for name in FEW_FILES:
            store.put(f"in/{name}", (drawn_corpus / "videos" / name).read_bytes())
        recipe.write_text(RECIPE.format(url=url))
        world = World(store, recipe, Dataset(store.uri("sets/whole")), {})
        assert main(world.curate(world.whole)) == 0
        world.curated.update(newest_rows(world.whole))
        for command in (freeze, encode, recaption):
            assert main(command(world.whole)) == 0
        yield world


@pytest.fixture
def world(of_module: World) -> Iterator[World]:
    of_module.store.schedule.mend()
    yield of_module
    of_module.store.schedule.mend()


def freeze(dataset: Dataset) -> list[str]:
    return ["release", dataset.location, "v1"]


def encode(dataset: Dataset) -> list[str]:
    return ["encode", dataset.location, "--release", "v1"]


def recaption(dataset: Dataset) -> list[str]:
    return ["recaption", dataset.location, "--set", "caption.max_new_tokens=180"]


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    """The one line, after those on progress, of a job that ends with exit status 1."""
    capsys.readouterr()
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "traceback" not in error.lower(), error
    assert error.count(f"reelmill {command[0]}: ") == 1, error
    return error.splitlines()[-1]


def failures(dataset: Dataset) -> dict[str, tuple[str, int, bool]]:
    """Reason, count of attempts and whether it is given up, of each input that failed for now."""
    rows = connect(dataset).execute(
        "select uri, reason, num_failures, detail like '%(given up after%' from videos where transient"
    )
    return {uri.partition("?")[0].rpartition("/")[2]: facts for uri, *facts in rows.fetchall()}


def test_inputs_that_cannot_be_read_are_counted_given_up_and_mended(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, schedule = world.dataset("inputs"), world.store.schedule
    for name, (what, kind) in UNREADABLE.items():
        schedule.fail(what, kind, keys=f"lake/in/{name}")
    schedule.fail(STALLED, GET, keys="lake/in/00_cuts.mp4", times=1)
    schedule.fail(SLOW, GET, keys="lake/in/*")
    for number in range(1, MAX_FAILURES + 1):
        assert main(world.curate(dataset)) == 0
        given_up = number == MAX_FAILURES
        assert failures(dataset) == {name: ["unreadable", number, given_up] for name in UNREADABLE}
    schedule.mend()
    assert main(world.curate(dataset)) == 0
    assert world.read() == set()
    capsys.readouterr()
    assert main([*world.curate(dataset), "--retry-failed"]) == 0
    assert world.read() >= set(UNREADABLE)
    assert newest_rows(dataset) == world.curated


def test_a_data_set_that_cannot_be_written_ends_a_job_in_one_line_and_the_next_goes_on(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """First no caption can be written, then no manifest: the run after that has only the manifest to write."""
    dataset, schedule = world.dataset("written"), world.store.schedule
    for keys in ("*/captions/*", "*/manifest/*"):
        schedule.fail(BUSY, PUT, POST, keys=keys)
        line = refused(capsys, world.curate(dataset))
        assert line.startswith(f"reelmill curate: data set {dataset.location}: ")
        assert "SLOW_DOWN" in line
        schedule.mend()
    assert main([*world.curate(dataset), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"] == {}
    assert newest_rows(dataset) == world.curated


def test_captions_and_latents_that_cannot_be_made_now_are_made_by_the_next_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, schedule = world.dataset("captioned"), world.store.schedule
    assert main(world.curate(dataset)) == 0
    assert main(freeze(dataset)) == 0
    for command, table in ((encode, "latents"), (recaption, "captions")):
        schedule.fail(CLOSED, GET, HEAD, keys="lake/in/05_blink.mp4")  # a copy may be kept where it was read before
        assert main(command(dataset)) == 0
        failed = f"select distinct num_failures from {table}_raw where transient"
        assert connect(dataset).execute(failed).fetchall() == [(1,)]
        schedule.mend()
        schedule.fail(BUSY, PUT, POST, keys=f"*/{table}/*")
        assert dataset.location in refused(capsys, command(dataset))
        schedule.mend()
        assert main(command(dataset)) == 0
    assert newest_rows(dataset) == newest_rows(world.whole)


@pytest.mark.parametrize("seed", [1])
def test_faults_anywhere_delay_a_data_set_and_do_not_change_it(
    world: World, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    dataset, schedule = world.dataset(f"seed-{seed}"), world.store.schedule
    schedule.seed = seed
    for what in (BUSY, CLOSED):
        schedule.fail(what, GET, PUT, POST, LIST, HEAD, DELETE, share=0.03)
    for _ in range(DISTURBED_RUNS):
        capsys.readouterr()
        status = main(world.curate(dataset))
        error = capsys.readouterr().err
        assert (status, error.count("reelmill curate: ")) in ((0, 0), (1, 1)), error
        assert "traceback" not in error.lower(), error
    assert schedule.met() > 0
    schedule.mend()
    assert main([*world.curate(dataset), "--retry-failed"]) == 0
    assert newest_rows(dataset) == world.curated


def test_other_etags_and_times_of_the_same_bytes_change_nothing(
    world: World, drawn_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: len(rows) for name, rows in newest_rows(world.whole).items()}
    world.store.schedule.etag_suffix = "-2"
    for name in FEW_FILES:
        world.store.put(f"in/{name}", (drawn_corpus / "videos" / name).read_bytes())
    for is_changed in (True, False):
        world.store.schedule.requests.clear()
        capsys.readouterr()
        assert main([*world.curate(world.whole), "--json"]) == 0
        assert set(json.loads(capsys.readouterr().out)["stages"]) == ({"identify"} if is_changed else set())
        assert {name: len(rows) for name, rows in newest_rows(world.whole).items()} == before
