"""The wheel: it holds every file of its packages and no other, and what is installed from it can caption."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from pipeline.caption.fingerprint import fingerprint
from schemas.recipe.caption import CaptionConfig

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "model", "pipeline", "jobs")


def files_of_the_packages() -> set[str]:
    """Paths below ROOT: what git tracks or would track; without git, what is there but for caches."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    if (ROOT / ".git").exists():
        listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        return {name for name in listed if (ROOT / name).is_file()}
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    return {str(path.relative_to(ROOT)) for path in found if path.is_file() and path.parent.name != "__pycache__"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with Reelmill from the wheel; what it depends on is that of this process.

    A path in a .pth file is searched for modules, but .pth files there are not read: not the one of a checkout either.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    install = ["install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), *install], check=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (own / "shared.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_wheel_holds_every_file_of_its_packages_and_no_other(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files_of_the_packages()


CAPTION = """
import json, pipeline
from pipeline.caption.backends.catalogue import load_captioner
from pipeline.caption.captioner import ClipFrames
from pipeline.caption.fingerprint import fingerprint
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas.recipe.caption import CaptionConfig

captioner = load_captioner(CaptionConfig())
clip = ClipFrames(render(draw_scene(3), 128, 96, 8), [i / 8 for i in range(8)])
(caption,) = captioner.caption([clip], [""], captioner.greedy)
prints = [fingerprint(CaptionConfig(backend=name)) for name in ("transformers", "coca")]
print(json.dumps([pipeline.__file__, caption.failure, caption.answer, prints]))
"""


def test_what_is_installed_captions_as_a_checkout_does(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "bin/python"), "-I", "-c", CAPTION]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    where, failure, answer, prints = json.loads(done.stdout.splitlines()[-1])
    assert Path(where).is_relative_to(installed)
    assert failure is None
    assert json.loads(answer)["subject"]
    assert prints == [fingerprint(CaptionConfig(backend="transformers")), fingerprint(CaptionConfig(backend="coca"))]


def test_what_is_installed_has_the_command(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run([str(installed / "bin/reelmill"), "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "curate" in done.stdout
