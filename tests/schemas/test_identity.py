"""Content addresses depend on the content, on nothing else, and on where its parts begin and end."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from schemas.identity import ID_HEX_CHARS, READ_BYTES, digest, file_digest, folder_digest


def test_digest_keeps_order_boundaries_and_types() -> None:
    assert digest("a", "b") == digest("a", "b")
    different = [
        digest("a", "b"),
        digest("b", "a"),
        digest("ab"),
        digest("a", "b", ""),
        digest(1),
        digest("1"),
        digest(),
    ]
    assert len(set(different)) == len(different)
    assert all(len(value) == ID_HEX_CHARS and int(value, 16) >= 0 for value in different)


def test_a_known_digest_stays_what_it_is() -> None:
    """Ids are stored in data sets: another value here would orphan all of them."""
    text = b"'video'"
    assert digest("video") == hashlib.sha256(len(text).to_bytes(8, "big") + text).hexdigest()[:16]


def test_file_digest_is_sha256_also_over_several_reads(tmp_path: Path) -> None:
    data = bytes(range(256)) * (READ_BYTES // 256 + 3)
    (tmp_path / "x").write_bytes(data)
    assert file_digest(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_a_folder_is_its_names_and_bytes_but_not_its_card(tmp_path: Path) -> None:
    one = tmp_path / "one"
    (one / "sub").mkdir(parents=True)
    (one / "weights.safetensors").write_bytes(b"w")
    (one / "sub" / "config.json").write_text("{}")
    value = folder_digest(one)
    (one / "README.md").write_text("how it was fitted")
    shutil.copytree(one, tmp_path / "two")
    assert folder_digest(tmp_path / "two") == value
    (one / "sub" / "config.json").rename(one / "sub" / "settings.json")
    assert folder_digest(one) != value
    (tmp_path / "two" / "weights.safetensors").write_bytes(b"v")
    assert folder_digest(tmp_path / "two") != value
