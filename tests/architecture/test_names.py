"""Claims about names: a name says what a thing is for.

Must not judge grammar of commands and events; the tests of the engine do.
"""

import re

from tests.architecture.source_tree import SourceModule, modules

# Modules under these names collect what belongs nowhere.
REFUSED_MODULE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core"}

# These words add nothing to a class name but say that a better one was not looked for.
REFUSED_CLASS_WORDS = {"Abstract", "Base", "Data", "Helper", "Impl", "Info", "Manager", "Util", "Utils"}

# Class name -> reason, for a name that an outside interface dictates.
CLASS_NAME_EXCEPTIONS: dict[str, str] = {"PollData": "Conductor's name for the answer, which the document shows"}

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")


def _refused_modules(found: list[SourceModule]) -> list[str]:
    return [module.name for module in found if REFUSED_MODULE_NAMES & set(module.name.split("."))]


def _refused_classes(found: list[SourceModule]) -> list[str]:
    return [
        f"{module.name}.{node.name}"
        for module in found
        for node in module.classes()
        if node.name not in CLASS_NAME_EXCEPTIONS and REFUSED_CLASS_WORDS & set(_WORD.findall(node.name))
    ]


def test_no_module_is_a_drawer_for_what_belongs_nowhere() -> None:
    """There is no `utils`, `common` or `base`: a module is named for what it holds."""
    assert _refused_modules(modules()) == []


def test_no_class_name_carries_an_empty_word() -> None:
    """There is no `TaskManager` or `WorkflowData`: the role has a name."""
    assert _refused_classes(modules()) == []


def test_the_checks_see_a_refused_name() -> None:
    """A refused word is found as a whole word, and only so."""
    sample = SourceModule.parse(
        "engine.utils",
        "class TaskManager:\n  class DataRow: pass\nclass Database: pass\nclass HTTPInfo: pass\n",
    )

    assert _refused_modules([sample]) == ["engine.utils"]
    assert _refused_classes([sample]) == [
        "engine.utils.TaskManager",
        "engine.utils.HTTPInfo",
        "engine.utils.DataRow",
    ]
