"""Claims about what is shipped: three packages, complete, and nothing else.

Must not install anything. The wheel is built offline from the locked environment, as `make wheel` does.
"""

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import PACKAGES, REPOSITORY_ROOT

# A build of a wheel takes one to two seconds; it writes only where it is told.
pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "--wheel-dir", str(folder), str(REPOSITORY_ROOT)], timeout=100, check=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def _version() -> str:
    project = tomllib.loads((REPOSITORY_ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def test_wheel_holds_exactly_three_packages(wheel: zipfile.ZipFile) -> None:
    """Besides engine, streams and api there is only the metadata: no tests, no deploy, no stray module."""
    top_level = {name.split("/")[0] for name in wheel.namelist()}
    assert top_level == {*PACKAGES, f"podium-{_version()}.dist-info"}


def test_wheel_holds_every_module_and_static_file(wheel: zipfile.ZipFile) -> None:
    """What runs from the working tree runs from the wheel."""
    expected = {
        str(path.relative_to(REPOSITORY_ROOT))
        for package in PACKAGES
        for path in (REPOSITORY_ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in wheel.namelist() if name.split("/")[0] in PACKAGES}
    assert shipped == expected


def test_wheel_brings_the_podium_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    """An installed wheel has the console script, and the licence travels with it."""
    metadata = f"podium-{_version()}.dist-info"
    assert "podium = api.cli:main" in wheel.read(f"{metadata}/entry_points.txt").decode()
    assert f"{metadata}/licenses/LICENSE" in wheel.namelist()
