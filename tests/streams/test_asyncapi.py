"""Claims about the description of the public topics: it is complete, and it is what the code does."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from engine.commands import Command
from engine.definitions import TaskDef, WorkflowDef, WorkflowTask
from engine.events import Event
from engine.graph import Graphs
from engine.ids import RefName
from engine.json_value import JsonObject, JsonValue
from engine.testing import Scenario
from streams.asyncapi import (
    _DOCUMENT_NOTE,
    DeadLetterRecord,
    OutcomeRecord,
    TaskRecord,
    document,
    message_name,
    yaml_of,
)
from streams.outward import dead_letter, outcome_json
from streams.ports import LogRecord
from streams.records import EventRecord
from streams.task_wire import claimed, render_task

FILE = Path("docs/reference/asyncapi.yaml")


def nodes(value: JsonValue) -> Iterator[JsonValue]:
    """Yield a value and everything in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def test_file_in_the_documentation_is_what_the_types_say() -> None:
    """Run `python -m streams.asyncapi > docs/reference/asyncapi.yaml` after a change of commands or events."""
    assert FILE.read_text() == _DOCUMENT_NOTE + yaml_of(document())


@pytest.mark.parametrize("kind", get_args(Command), ids=lambda kind: kind.__name__)
def test_each_command_is_described_with_its_tag_and_fields(kind: type[msgspec.Struct]) -> None:
    """A message of the channel `commands`, whose payload is the command's schema."""
    made = document()
    name = str(kind.__struct_config__.tag)

    assert made["channels"]["commands"]["messages"][name] == {"$ref": f"#/components/messages/{name}"}
    assert made["components"]["messages"][name]["payload"] == {"$ref": f"#/components/schemas/{kind.__name__}"}
    properties = made["components"]["schemas"][kind.__name__]["properties"]
    assert properties["command"] == {"enum": [name]}
    assert set(properties) == {"command", *kind.__struct_encode_fields__}


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_each_event_is_described_with_its_tag_and_fields(kind: type[msgspec.Struct]) -> None:
    """One of the `events` of a decision."""
    schemas = document()["components"]["schemas"]
    events = schemas["DecisionRecord"]["properties"]["events"]["items"]

    assert {"$ref": f"#/components/schemas/{kind.__name__}"} in events["anyOf"]
    assert events["discriminator"] == "event"
    properties = schemas[kind.__name__]["properties"]
    assert properties["event"] == {"enum": [str(kind.__struct_config__.tag)]}
    assert set(properties) == {"event", *kind.__struct_encode_fields__}


def test_each_record_of_the_events_topic_is_described() -> None:
    """Decisions, their parts, and claims."""
    messages = document()["channels"]["events"]["messages"]
    assert set(messages) == {message_name(kind) for kind in get_args(EventRecord)}


def test_every_reference_leads_somewhere_and_nothing_is_without_a_description() -> None:
    """A reader of the document finds what it points to."""
    made = document()
    for found in nodes(made):
        if isinstance(found, dict) and isinstance(found.get("$ref"), str):
            target: JsonValue = made
            for step in found["$ref"].removeprefix("#/").split("/"):
                target = target[step]
    assert all(message["summary"] for message in made["components"]["messages"].values())
    assert all(channel["description"] for channel in made["channels"].values())


@pytest.fixture
def scenario() -> Scenario:
    """A workflow of one worker task that has a task definition."""
    tasks = (WorkflowTask(name="greet", task_reference_name=RefName("greet")),)
    limits = TaskDef(name="greet", isolation_group_id="g", execution_name_space="n")
    scenario = Scenario(WorkflowDef(name="w", tasks=tasks), limits)
    scenario.start({}, correlation_id="c")
    return scenario


def test_task_that_is_sent_has_the_described_fields_and_no_others(scenario: Scenario) -> None:
    """Before and after a worker has it."""
    task = scenario.task("greet")
    node = Graphs(scenario.shelf).of(scenario.state.started).node(task.spec.node)
    sent = render_task(scenario.state, task, node.task, node.task_definition)

    for shown in (sent, claimed(sent, "me", 5)):
        assert set(shown) <= set(TaskRecord.__struct_encode_fields__)
        msgspec.convert(shown, TaskRecord)


def test_outcome_that_is_published_has_exactly_the_described_fields(scenario: Scenario) -> None:
    """The record is read back as the described type."""
    scenario.complete("greet", {})
    sent = outcome_json(scenario.state)

    assert set(sent) == set(OutcomeRecord.__struct_encode_fields__)
    msgspec.convert(sent, OutcomeRecord)


def testdead_letter_has_exactly_the_described_fields_and_the_original_bytes() -> None:
    """Whatever the bytes were."""
    source = LogRecord(topic="commands", partition=1, offset=2, key=b"\xff", value=b"\x00\xfe", appended_at_ms=3)
    letter = dead_letter(source, "no JSON").value or b""

    assert set(msgspec.json.decode(letter)) == set(DeadLetterRecord.__struct_encode_fields__)
    read = msgspec.json.decode(letter, type=DeadLetterRecord)
    assert (read.key, read.value) == (b"\xff", b"\x00\xfe")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": {"c": [True, None]}}, "a: 1\nb:\n  c:\n    - true\n    - null\n"),
        ({"empty": {}, "list": [], "text": "a: b # c"}, 'empty: {}\nlist: []\ntext: "a: b # c"\n'),
        ({"$ref": "#/x", "on": 1, "a b": 2, "1": 3}, '$ref: "#/x"\n"on": 1\n"a b": 2\n"1": 3\n'),
        ([{"a": 1, "b": 2}, [1]], "-\n  a: 1\n  b: 2\n-\n  - 1\n"),
        ({"quote": 'say "ü"\n'}, 'quote: "say \\"ü\\"\\n"\n'),
    ],
)
def test_yaml_has_blocks_for_content_and_json_for_everything_else(value: JsonObject, text: str) -> None:
    """JSON's scalars are YAML's; keys that YAML would read otherwise are quoted."""
    assert yaml_of(value) == text
