"""Claims about every file: it makes sense on any machine, and leaves nothing unsaid.

Must not look at what git ignores. Keeps the repository free of places that exist on one machine only.
"""

import re
import subprocess
from pathlib import Path

from tests.architecture.source_tree import REPOSITORY_ROOT

# Folders of one machine or one person, and hosts of package registries, which an installer knows by itself.
# Each is written so that this file does not match itself.
_MACHINE_PATH = re.compile(r"(?<![\w.~*-])/(?:work|root|Users|opt/wheels)/|(?<![\w.~*-])/home/\w|[A-Z]:\\\\?Users")
_REGISTRY_HOST = re.compile(
    r"pypi\.(?:org|python)|files\.python[h]osted|registry\.npm[j]s|repo1?\.maven|maven\.[a]pache\.org/maven2"
)

_UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b(?!\(#\d+\))")
_CODE_SUFFIXES = {".py", ".ts", ".tsx", ".js", ".css", ".toml", ".yaml", ".yml", ".sh", ".xml", ""}

# Built from `ui/`, where the sources are looked at; names of libraries in it are not ours.
_BUILT = ("api/static/",)


def _text_files() -> dict[str, str]:
    """Return every text file that is, or could be, committed, by its path."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=True)
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = REPOSITORY_ROOT / name
        if not path.is_file():
            continue
        try:
            texts[name] = path.read_text()
        except UnicodeDecodeError:
            continue
    return texts


def _matches(pattern: re.Pattern[str], texts: dict[str, str]) -> list[str]:
    return [
        f"{name}:{number} {found.group()}"
        for name, text in texts.items()
        if not name.startswith(_BUILT)
        for number, line in enumerate(text.splitlines(), start=1)
        for found in pattern.finditer(line)
    ]


def test_no_file_names_a_place_of_one_machine() -> None:
    """Paths are relative to the repository or come from the environment."""
    assert _matches(_MACHINE_PATH, _text_files()) == []


def test_no_file_names_a_package_registry() -> None:
    """Installers are told what to fetch, never from where."""
    assert _matches(_REGISTRY_HOST, _text_files()) == []


def test_nothing_is_left_to_do_without_an_issue() -> None:
    """Unfinished work has a number under which it can be found: the mark is followed by (#number)."""
    code = {name: text for name, text in _text_files().items() if Path(name).suffix in _CODE_SUFFIXES}
    assert _matches(_UNFINISHED, code) == []


def test_the_checks_see_what_is_refused() -> None:
    """Each kind of place and mark is found; what only looks like one is not."""
    mark = "TO" + "DO"
    lines = {
        "a": "/" + "root/x",
        "b": "api/work/queue",
        "c": "x: /" + "home/me",
        "d": "/workflow/x",
    }

    assert _matches(_MACHINE_PATH, lines) == ["a:1 /" + "root/", "c:1 /" + "home/m"]
    assert _matches(_REGISTRY_HOST, {"e": "https://pypi" + ".org/simple"}) == ["e:1 pypi" + ".org"]
    assert _matches(_UNFINISHED, {"f": f"{mark}: x\n{mark}(#12): y\n{mark}S"}) == [f"f:1 {mark}"]
