"""Runs the tests of mutants, each in a fork of this process and in a copy of the tree.

The sources themselves are never touched, so a run that is killed leaves nothing to mend. This process imports the slow
libraries once and nothing of the project; a fork then imports the mutated file and all else of the project from its
copy of the tree, as do the processes that a test starts.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.mutants.mutant import Mutant

PACKAGES = ("schemas", "model", "pipeline", "jobs", "tests")
SLOW_IMPORTS = (
    "torch",
    "torch._dynamo",  # which every optimizer imports
    "torch.distributed",
    "open_clip",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "safetensors.torch",
    "diffusers.pipelines.ltx.pipeline_ltx",
    "diffusers.models.autoencoders.autoencoder_kl_wan",
    "diffusers.models.autoencoders.autoencoder_kl_cogvideox",
    "duckdb",
    "pyarrow.dataset",
    "pydantic",
    "ray.data",
    "av",
    "cv2",
    "PIL.Image",
)
MEMORY_BYTES = 8 << 30
"""Of one fork; a mutant that asks for more is killed by its own MemoryError."""
SLOWER, SPARE_CPU_S = 3.0, 5.0
"""A mutant is stuck if its tests take this many times the CPU seconds that they take without it, and the spare ones."""
WALL_PER_CPU, SPARE_WALL_S = 10.0, 30.0
"""And if it takes this much longer by the clock: it waits for something, on a machine that may be busy."""
BASELINE_CPU_S = 600.0
POLL_S = 0.02
FAILED = (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)
"""Of tests that pass without a mutant; the last where a conftest.py cannot be imported."""

Fate = Literal["killed", "stuck", "survived"]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant; for a killed one the test that failed."""

    mutant: Mutant
    fate: Fate
    said: str
    cpu_s: float


@dataclass(frozen=True)
class Ended:
    """A fork that ran tests: pytest's exit status, -1 if it was stopped, and the last of what it printed."""

    status: int
    said: str
    cpu_s: float


class BrokenTests(RuntimeError):
    """Tests that fail without any mutant."""


class Slot:
    """A copy of the tree in which one mutant at a time is tested."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder, self.tree = root, folder, folder / "tree"
        for name in PACKAGES:
            if (root / name).exists():
                shutil.copytree(root / name, self.tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(root / "pyproject.toml", self.tree)
        self.pid = 0

    def start(self, tests: Iterable[str], limit_cpu_s: float, mutant: Mutant | None = None) -> None:
        """Begin to run tests in a fork; bytecode is only written where there is no mutant."""
        if mutant is not None:
            self._write(mutant)
        self.mutant, self.give_up_s = mutant, time.monotonic() + WALL_PER_CPU * limit_cpu_s + SPARE_WALL_S
        self.pid = os.fork()
        if self.pid == 0:
            status = int(pytest.ExitCode.INTERNAL_ERROR)
            try:
                status = self._test_in_fork(list(tests), int(limit_cpu_s))
            except BaseException:  # noqa: BLE001 - nothing may go on as this process in the fork
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)

    def ended(self) -> Ended | None:
        """How the fork ended, or None while it runs."""
        late = time.monotonic() > self.give_up_s
        if late:
            os.killpg(self.pid, signal.SIGKILL)
        pid, status, usage = os.wait4(self.pid, 0 if late else os.WNOHANG)
        if pid == 0:
            return None
        with contextlib.suppress(ProcessLookupError):  # what its tests may have left running
            os.killpg(self.pid, signal.SIGKILL)
        self.pid = 0
        if self.mutant is not None:
            self._restore(self.mutant)
        code = os.waitstatus_to_exitcode(status)
        return Ended(-1 if code < 0 else code, _last_words(self.folder / "said"), usage.ru_utime + usage.ru_stime)

    def stop(self) -> None:
        if self.pid:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def _write(self, mutant: Mutant) -> None:
        path = self.tree / mutant.file
        self.written_ns = path.stat().st_mtime_ns
        path.write_bytes(mutant.mutated)
        os.utime(path, (0, 0))  # so that no bytecode of the file as it was is taken for that of the mutant

    def _restore(self, mutant: Mutant) -> None:
        path = self.tree / mutant.file
        path.write_bytes(mutant.source)
        os.utime(path, ns=(self.written_ns, self.written_ns))

    def _test_in_fork(self, tests: list[str], limit_cpu_s: int) -> int:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (limit_cpu_s, limit_cpu_s))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        said = os.open(self.folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        sys.stdout = sys.stderr = os.fdopen(said, "w", buffering=1)
        os.chdir(self.tree)
        for name in [n for n in sys.modules if n.partition(".")[0] in PACKAGES]:
            del sys.modules[name]
        sys.path[:] = [str(self.tree), *(p for p in sys.path if p and Path(p) not in (self.root, self.tree))]
        # The libraries bring plugins of pytest along, and of those that are imported already it warns.
        os.environ |= {"PYTHONPATH": str(self.tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        if self.mutant is not None:
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        temporary = str(self.folder / "tmp")
        return pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--basetemp", temporary, *tests])


def import_slow_libraries() -> None:
    """Import once what the forks would import each; one that is missing is left to the tests that need it."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # forks share the cores
    for name in SLOW_IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_mutants(root: Path, folder: Path, mutants: list[Mutant], num_processes: int) -> Iterator[Outcome]:
    """Test each mutant, `num_processes` at a time, and yield what became of it, in the order in which they end.

    Raises:
        BrokenTests: tests fail on the sources as they are.
    """
    slots = [Slot(root, folder / str(i)) for i in range(num_processes)]
    try:
        limits_s = _baseline(slots, sorted({m.tests for m in mutants}))
        waiting = iter(mutants)
        busy: list[Slot] = []
        free = list(slots)
        while True:
            while free and (mutant := next(waiting, None)) is not None:
                slot = free.pop()
                slot.start(mutant.tests, limits_s[mutant.tests], mutant)
                busy.append(slot)
            if not busy:
                return
            for slot, ended in _wait(busy):
                assert slot.mutant is not None
                yield _outcome(slot.mutant, ended)
                busy.remove(slot)
                free.append(slot)
    finally:
        for slot in slots:
            slot.stop()


def _baseline(slots: list[Slot], groups: list[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
    """CPU seconds allowed to each group of tests. Every slot runs all of them without a mutant, and keeps bytecode."""
    limits_s: dict[tuple[str, ...], float] = {}
    for tests in groups:
        for slot in slots:
            slot.start(tests, BASELINE_CPU_S)
        for _, ended in _all(slots):
            if ended.status != 0:
                raise BrokenTests(f"{' '.join(tests)} fails without any mutant: {ended.said}")
            limits_s[tests] = max(limits_s.get(tests, 0.0), SLOWER * ended.cpu_s + SPARE_CPU_S)
    return limits_s


def _all(slots: list[Slot]) -> Iterator[tuple[Slot, Ended]]:
    busy = list(slots)
    while busy:
        for slot, ended in _wait(busy):
            busy.remove(slot)
            yield slot, ended


def _wait(busy: list[Slot]) -> list[tuple[Slot, Ended]]:
    """The slots whose fork has ended, at least one."""
    while True:
        found = [(slot, ended) for slot in busy if (ended := slot.ended()) is not None]
        if found:
            return found
        time.sleep(POLL_S)


def _outcome(mutant: Mutant, ended: Ended) -> Outcome:
    if ended.status == pytest.ExitCode.OK:
        return Outcome(mutant, "survived", "", ended.cpu_s)
    if ended.status in FAILED:
        return Outcome(mutant, "killed", ended.said, ended.cpu_s)
    if ended.status == -1:
        return Outcome(mutant, "stuck", "", ended.cpu_s)
    raise BrokenTests(f"{' '.join(mutant.tests)}: pytest ended with status {ended.status}: {ended.said}")


def _last_words(path: Path) -> str:
    """The first failure that pytest names, or the end of what it printed."""
    lines = path.read_text(errors="replace").splitlines()
    named = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return (named or lines or [""])[0 if named else -1].removeprefix("FAILED ")
