"""Claims about completeness: everything has its place, and its name says what it is."""

import keyword
import re
import typing
from pathlib import Path

import pytest

from engine import applier, commands, decider, effects, events, outward
from engine.limiter.commands import ToLimiter
from engine.rejections import RejectionCode
from engine.tasks import registry

COMMANDS: tuple[type, ...] = typing.get_args(commands.Command)
EVENTS: tuple[type, ...] = typing.get_args(events.Event)
EFFECTS: tuple[type, ...] = typing.get_args(effects.Effect)

ENGINE = Path(decider.__file__).parent

# Conductor's verbs, and what the shell does; a command or an effect begins with one.
IMPERATIVES = {
    "Acquire", "Announce", "Answer", "Arm", "Claim", "Disarm", "Dispatch", "Evaluate", "Fire", "Jump", "Keep", "Note",
    "Pause", "Publish", "Release", "Remove", "Report", "Rerun", "Reset", "Restart", "Resume", "Retract", "Retry",
    "Review", "Revive", "Send", "Skip", "Start", "Terminate", "Update", "Upgrade",
}  # fmt: skip


def _module_of(task_type: str) -> str:
    """Return the module's name; a word of Python has an underscore behind it."""
    name = task_type.lower()
    return f"{name}_" if keyword.iskeyword(name) else name


def test_every_command_has_a_decider() -> None:
    """What may stand in the log can be decided; a start has no state and is decided on its own."""
    to_workflows = {kind for kind in COMMANDS if not issubclass(kind, ToLimiter)}
    assert set(decider.DECIDERS) | {commands.StartWorkflow} == to_workflows
    assert commands.StartWorkflow not in decider.DECIDERS


def test_every_event_has_an_applier() -> None:
    """What may stand in the log can be folded."""
    assert set(applier.APPLIERS) == set(EVENTS)


def test_only_events_have_effects() -> None:
    """No effect is derived from what is not in the log."""
    assert set(outward._EFFECTS) <= set(EVENTS)  # noqa: SLF001 - the table is the claim


def test_every_task_type_has_a_module_of_its_name() -> None:
    """And no module is without a type: what is in the folder is in the table."""
    modules = {path.stem for path in (ENGINE / "tasks").glob("*.py")} - {"__init__", "registry"}
    assert {_module_of(name) for name in registry.TASK_TYPES} == modules


def test_every_task_type_is_done_by_the_module_of_its_name() -> None:
    """A type is not scheduled by the rules of another."""
    for name, behaviour in registry.TASK_TYPES.items():
        assert behaviour.schedule.__module__ == f"engine.tasks.{_module_of(name)}"


def test_unknown_type_is_a_workers() -> None:
    """A name that is not in the table is the name of a queue."""
    assert registry.behaviour_of("transcode") is registry.WORKER
    assert "transcode" not in registry.TASK_TYPES


@pytest.mark.parametrize("kind", [*COMMANDS, *EVENTS], ids=lambda kind: kind.__name__)
def test_record_of_the_log_is_frozen_and_tagged_by_its_name(kind: type) -> None:
    """Every command and event is an immutable value with a tag of its own, spelt like its class or like Conductor."""
    config = kind.__struct_config__  # type: ignore[attr-defined]
    assert config.frozen
    assert config.tag_field == ("command" if kind in COMMANDS else "event")
    if kind in EVENTS:
        assert config.tag == re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


@pytest.mark.parametrize("union", [COMMANDS, EVENTS])
def test_tags_of_the_log_are_unique(union: tuple[type, ...]) -> None:
    """A tag means one thing."""
    tags = [kind.__struct_config__.tag for kind in union]  # type: ignore[attr-defined]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("kind", [*COMMANDS, *EFFECTS], ids=lambda kind: kind.__name__)
def test_commands_and_effects_are_imperatives(kind: type) -> None:
    """They say what is to be done."""
    assert re.match(r"[A-Z][a-z]+", kind.__name__).group() in IMPERATIVES  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_events_are_in_the_past(kind: type) -> None:
    """They say what has happened."""
    assert re.search(r"(?:ed|Set)$", kind.__name__)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_says_when(kind: type) -> None:
    """The instant is in the event, so that no reader of the log needs another source of time."""
    assert "at_ms" in kind.__struct_fields__  # type: ignore[attr-defined]


def test_rejection_codes_are_conditions() -> None:
    """A code reads as what was found true, and is spelt as it is called."""
    for code in RejectionCode:
        assert code.name == code.value
        assert re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", code.value)
    ends = {code.value.rsplit("_", 1)[-1] for code in RejectionCode}
    assert ends == {
        "AWAITED",
        "FULL",
        "FOUND",
        "INVALID",
        "ENDED",
        "RUNNING",
        "PAUSED",
        "RESTARTABLE",
        "EXISTS",
        "RETRY",
        "SCHEDULED",
    }
