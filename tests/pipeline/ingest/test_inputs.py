"""Inputs from every kind of argument, with what lists say of them; a mistake is one line."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline.ingest.filesystems import beside, local_copy, resolve
from pipeline.ingest.inputs import InputError, list_inputs
from schemas.errors import Unreachable
from schemas.identity import file_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(["a.mp4", "b.MKV", "sub/c.webm", "sub/d.jpg", "notes.txt"]):
        (tmp_path / name).write_bytes(b"x" * (number + 1))
    return tmp_path


def names(arguments: list[str]) -> list[str]:
    return [listed.uri.rpartition("/")[2] for listed in list_inputs(arguments).inputs]


def test_a_folder_gives_its_media_files_at_any_depth_and_counts_the_others(folder: Path) -> None:
    listing = list_inputs([str(folder)])
    assert names([str(folder)]) == ["a.mp4", "b.MKV", "c.webm", "d.jpg"]
    assert listing.num_other_files == 1
    first = listing.inputs[0]
    assert first.uri == str(folder / "a.mp4")
    assert (first.file_bytes, first.source) == (1, "{}")
    assert first.modified_us == (folder / "a.mp4").stat().st_mtime_ns // 1000


def test_a_file_is_taken_whatever_its_name_and_each_file_once(folder: Path) -> None:
    (folder / "film.dat").write_bytes(b"\0\1\xff")
    film = str(folder / "film.dat")
    assert names([film]) == ["film.dat"]
    assert names([film, str(folder / "*.mp4"), str(folder / "a.mp4")]) == ["film.dat", "a.mp4"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", b"a.mp4\nb.mkv\n"),
        ("list.tsv", b"uri\ttitle\na.mp4\tA\n"),
        ("array.json", b'[{"uri": "a.mp4"}]'),
        ("list.csv.gz", gzip.compress(b"uri\na.mp4\n", mtime=0)),
        ("long.txt", "é".encode() * 1000),
        ("odd.txt", b"x" + "€".encode() * 1000),
    ],
)
def test_a_list_of_another_kind_is_one_line_that_names_the_kinds_that_are_read(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=r"neither video nor image; lists are read from .parquet, .csv, .jsonl files"):
        list_inputs([str(folder / name)])


def test_text_of_a_list_stays_as_it_is_written(folder: Path) -> None:
    cells = {
        "id": "00123",
        "code": "1e5",
        "date": "2024-01-02",
        "flag": "true",
        "word": "NA",
        "big": "12345678901234567890",
    }
    (folder / "list.csv").write_text(f"\ufeffuri,{','.join(cells)}\r\na.mp4,{','.join(cells.values())}\r\n")
    (folder / "list.jsonl").write_text(json.dumps({"uri": "b.MKV", **cells, "n": 12345678901234567890}) + "\n\n")
    first, second = list_inputs([str(folder / "list.csv"), str(folder / "list.jsonl")]).inputs
    assert json.loads(first.source) == cells
    assert json.loads(second.source) == cells | {"n": 12345678901234567890}


def test_a_quoted_cell_may_hold_commas_and_line_ends(folder: Path) -> None:
    (folder / "list.csv").write_text('uri,title\na.mp4,"one, ""two""\nthree"\n')
    assert json.loads(list_inputs([str(folder / "list.csv")]).inputs[0].source) == {"title": 'one, "two"\nthree'}


def test_rows_that_name_a_file_again_are_counted(folder: Path) -> None:
    (folder / "list.csv").write_text("uri,title\na.mp4,first\na.mp4,second\nb.MKV,\nb.MKV,\n")
    listing = list_inputs([str(folder / "list.csv")])
    assert [json.loads(listed.source) for listed in listing.inputs] == [{"title": "first"}, {}]
    assert listing.num_repeated == 1


@pytest.mark.parametrize(
    "uri", ["HTTP://example.invalid/a.mp4", "nosuch://x", "b.mp4\0", "/x\0.mp4", "a\nb.mp4", "[::1"]
)
def test_a_uri_that_cannot_be_is_an_input_that_fails_alone(folder: Path, uri: str) -> None:
    (folder / "list.jsonl").write_text("".join(json.dumps({"uri": name}) + "\n" for name in ("a.mp4", uri)))
    good, bad = list_inputs([str(folder / "list.jsonl")]).inputs
    assert good.file_bytes == 1
    assert bad.file_bytes == 0
    with pytest.raises(OSError), local_copy(bad.uri):  # noqa: PT011 - whatever the system says
        pass


def test_links_give_each_real_file_once(folder: Path) -> None:
    (folder / "itself").symlink_to(folder)
    (folder / "Again").symlink_to(folder / "sub")
    (folder / "sub" / "up").symlink_to("..")
    (folder / "0.mp4").symlink_to("a.mp4")
    (folder / "gone.mp4").symlink_to("nowhere.mp4")
    assert [x.uri for x in list_inputs([str(folder)]).inputs] == [
        str(folder / name) for name in ("a.mp4", "b.MKV", "sub/c.webm", "sub/d.jpg")
    ]


def test_links_out_of_the_folder_are_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("y.mp4", "z.mp4"):
        (elsewhere / name).write_bytes(b"x")
    (folder / "more").symlink_to(elsewhere)
    (folder / "w.mp4").symlink_to(elsewhere / "z.mp4")
    assert names([str(folder)]) == ["a.mp4", "b.MKV", "y.mp4", "z.mp4", "c.webm", "d.jpg"]


def test_a_file_whose_name_is_not_utf8_is_read_as_the_others(folder: Path) -> None:
    odd = os.fsencode(folder) + b"/latin1_\xe9.mp4"
    with open(odd, "wb") as file:
        file.write(b"content")
    listed = next(x for x in list_inputs([str(folder)]).inputs if "latin1" in x.uri)
    assert listed.uri == f"file://{folder}/latin1_%E9.mp4"
    assert listed.file_bytes == 7
    with local_copy(listed.uri) as local, open(local.path, "rb") as file:
        assert file.read() == b"content"
    assert list_inputs([listed.uri]).inputs == (listed,)


def test_globs_and_relative_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names(["**/*.webm"]) == ["c.webm"]
    assert names(["sub/?.*"]) == ["c.webm", "d.jpg"]
    assert list_inputs(["a.mp4"]).inputs[0].uri == str(folder / "a.mp4")


def test_file_uris_name_local_files(folder: Path) -> None:
    assert list_inputs([f"file://{folder}/a.mp4"]).inputs == list_inputs([str(folder / "a.mp4")]).inputs


@pytest.fixture
def in_memory() -> Iterator[None]:
    store = fsspec.filesystem("memory")
    store.pipe("/lib/a.mp4", b"aaaa")
    store.pipe("/lib/deep/b.mkv", b"bb")
    store.pipe("/lib/list.csv", b"uri,title\na.mp4,One\nmemory:///lib/deep/b.mkv,Two\n")
    yield
    store.rm("/lib", recursive=True)


@pytest.mark.usefixtures("in_memory")
def test_fsspec_uris_list_folders_globs_and_lists_and_give_local_copies() -> None:
    assert [x.uri for x in list_inputs(["memory:///lib"]).inputs] == ["memory:///lib/a.mp4", "memory:///lib/deep/b.mkv"]
    assert names(["memory:///lib/deep/*.mkv"]) == ["b.mkv"]
    rows = list_inputs(["memory:///lib/list.csv"]).inputs
    assert [(row.uri, row.file_bytes, json.loads(row.source)) for row in rows] == [
        ("memory:///lib/a.mp4", 4, {"title": "One"}),
        ("memory:///lib/deep/b.mkv", 2, {"title": "Two"}),
    ]
    with local_copy(rows[0].uri) as local:
        path = Path(local.path)
        assert path.read_bytes() == b"aaaa"
        assert path.suffix == ".mp4"
        assert local.sha256 == file_digest(path)
    assert not path.exists()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_http_uris_are_inputs(folder: Path) -> None:
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}/sub/c.webm"
        (listed,) = list_inputs([uri]).inputs
        with local_copy(listed.uri) as local:
            content = Path(local.path).read_bytes()
        server.shutdown()
    assert (listed.uri, listed.file_bytes, content) == (uri, 3, b"xxx")


@pytest.mark.parametrize(
    ("status", "error"), [(404, InputError), (403, InputError), (429, Unreachable), (503, Unreachable)]
)
def test_a_server_that_cannot_answer_now_is_not_a_file_that_is_not_there(status: int, error: type[Exception]) -> None:
    class Refusing(QuietHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        do_HEAD = do_GET

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}/x.mp4"
        with pytest.raises(error) as caught:
            list_inputs([uri])
        server.shutdown()
    assert str(caught.value).startswith(f"input {uri}: ")
    assert error is InputError or str(status) in str(caught.value)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"^input http://127\.0\.0\.1:9/x\.mp4: .*Connect call failed"):
        list_inputs(["http://127.0.0.1:9/x.mp4"])


COLUMNS = {"uri": ["a.mp4", "/elsewhere/z.mp4"], "title": ["One", None], "year": [1999, 2001]}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".CSV"])
def test_lists_carry_their_other_columns(folder: Path, suffix: str) -> None:
    path = folder / f"list{suffix}"
    table = pa.table(COLUMNS)
    if suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        path.write_text("uri,title,year\na.mp4,One,1999\n/elsewhere/z.mp4,,2001\n")
    present, absent = list_inputs([str(path)]).inputs
    assert (present.uri, present.file_bytes) == (str(folder / "a.mp4"), 1)
    assert json.loads(present.source) == {"title": "One", "year": "1999" if suffix.lower() == ".csv" else 1999}
    assert (absent.uri, absent.file_bytes, absent.modified_us) == ("/elsewhere/z.mp4", 0, 0)
    assert json.loads(absent.source).get("title", "") == ""


def test_cells_that_are_not_json_travel_as_text_or_not_at_all(folder: Path) -> None:
    table = pa.table({"uri": ["a.mp4"], "when": [pa.scalar(0, pa.timestamp("s")).as_py()], "score": [float("nan")]})
    pyarrow.parquet.write_table(table, folder / "list.parquet")
    assert json.loads(list_inputs([str(folder / "list.parquet")]).inputs[0].source) == {"when": "1970-01-01 00:00:00"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("url,title\na,b\n", "no column 'uri' .columns: url, title"),
        ("uri,title\n,b\n", "row 1 has no uri"),
        ("uri\n", "no rows"),
        ("", "list.csv: is empty"),
        ("uri\na,b,c\n", "list.csv: row 1 has 3 cells for 1 columns"),
        ('uri\n"a', "list.csv: line 2: unexpected end of data"),
    ],
)
def test_a_bad_list_is_one_line(folder: Path, content: str, named: str) -> None:
    (folder / "list.csv").write_text(content)
    with pytest.raises(InputError, match=named) as caught:
        list_inputs([str(folder / "list.csv")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argument", ["nosuch.mp4", "*.avi", "sub2/", "nosuch://x/y.mp4"])
def test_an_argument_that_names_nothing_is_one_line(
    folder: Path, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as caught:
        list_inputs([argument])
    assert str(caught.value).startswith(f"input {argument}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_without_media_says_so(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="no video or image file"):
        list_inputs([str(folder / "empty")])


def test_names_beside_a_uri_keep_its_query() -> None:
    assert beside("s3://b/x/list.csv?endpoint_override=http://h:1", "v.mp4") == (
        "s3://b/x/v.mp4?endpoint_override=http://h:1"
    )
    assert beside("list.csv", "v.mp4") == "./v.mp4"


def test_an_unknown_scheme_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nosuch"):
        resolve("nosuch://x")
