"""A job's log over connections that end in every way, from a web server that speaks as Ray's dashboard does.

`tests/jobs/test_cluster.py` has the same with Ray's own dashboard behind a line that breaks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web
from ray.job_submission import JobSubmissionClient

from jobs.submission import log
from jobs.submission.cluster import Job
from jobs.submission.log import Following
from schemas.errors import JobError

# Ray 2.60 gives aiohttp an argument in a way that aiohttp warns of, and leaves connections that broke to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning"),
]
PIECES = ["one\n", "two ", "words\n", "three\n"]
TEXT = "".join(PIECES)


class Dashboard:
    """Answers for one job. Each time its log is asked for, the next attachment says how many pieces are sent and how it
    ends: `cut`, `closed`, or `silent` though the job has ended. Else the job runs until the last of them."""

    def __init__(self, attachments: list[tuple[int, str]]) -> None:
        self.attachments = list(attachments)
        self.loop = asyncio.new_event_loop()
        self.url = ""
        self.has_ended = False

    @contextmanager
    def listening(self) -> Iterator[Dashboard]:
        runner = self.loop.run_until_complete(self._start())
        thread = threading.Thread(target=self.loop.run_forever)
        thread.start()
        try:
            yield self
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            thread.join()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(runner.cleanup())
            self.loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/api/version", self._version)
        app.router.add_get("/api/jobs/{job}", self._job)
        app.router.add_get("/api/jobs/{job}/logs/tail", self._tail)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return runner

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": "2.60.0", "ray_commit": ""})

    async def _job(self, request: web.Request) -> web.Response:
        status = "SUCCEEDED" if self.has_ended or not self.attachments else "RUNNING"
        return web.json_response(
            {"type": "SUBMISSION", "submission_id": request.match_info["job"], "status": status, "entrypoint": "x"}
        )

    async def _tail(self, request: web.Request) -> web.WebSocketResponse:
        num_pieces, end = self.attachments.pop(0)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for piece in PIECES[:num_pieces]:
            await socket.send_str(piece)
        if end == "silent":
            self.has_ended = True
            await asyncio.sleep(60)
        if end == "cut":
            await asyncio.sleep(0.05)  # what was sent arrives
            assert request.transport is not None
            request.transport.abort()
        return socket


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "RETRY_S", 0.01)
    monkeypatch.setattr(log, "QUIET_S", 0.2)


@pytest.mark.parametrize(
    ("attachments", "num_breaks"),
    [
        ([(4, "closed")], 0),
        ([(1, "closed"), (0, "closed"), (4, "closed")], 0),
        ([(1, "cut"), (3, "cut"), (2, "cut"), (4, "closed")], 2),  # the third brought nothing new, and is not told of
        ([(2, "silent"), (4, "closed")], 1),
    ],
    ids=["whole", "closed while the job runs", "cut", "silent after the job's end"],
)
def test_a_log_is_printed_once(
    capsys: pytest.CaptureFixture[str], attachments: list[tuple[int, str]], num_breaks: int
) -> None:
    with Dashboard(attachments).listening() as dashboard:
        job = Following(JobSubmissionClient(dashboard.url), "job").to_end()
    printed = capsys.readouterr()
    assert job == Job("job", "succeeded")
    assert printed.out == TEXT
    assert printed.err.count("attaching again") == num_breaks


def test_who_does_not_answer_any_more_is_given_up_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LOST_S", 0.3)
    with Dashboard([(4, "closed")]).listening() as dashboard:
        client = JobSubmissionClient(dashboard.url)
    with pytest.raises(JobError, match=f"reelmill submit --address {dashboard.url} --attach job") as lost:
        Following(client, "job").to_end()
    assert "\n" not in str(lost.value)
    assert capsys.readouterr().err.count("attaching again") == 1


def test_who_reads_no_further_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    with Dashboard([(4, "closed")] * 2).listening() as dashboard:
        following = Following(JobSubmissionClient(dashboard.url), "job")
        monkeypatch.setattr("builtins.print", gone)
        with pytest.raises(BrokenPipeError):
            following.to_end()
        monkeypatch.undo()
    assert len(dashboard.attachments) == 1
