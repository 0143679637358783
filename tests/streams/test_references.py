"""Claims about secrets and the environment: where they come from, and where they do not go."""

from pathlib import Path

import pytest

from engine.deferral import Deferral
from engine.ids import TaskId
from engine.json_value import JsonObject
from streams.dispatch.queues import PollQueues, QueuedTask
from streams.references import (
    DEFERRED_INPUT,
    SECRET_BYTES_MAX,
    DirectorySecrets,
    EnvironmentSecrets,
    ReferenceUnresolved,
    ReferenceValues,
    deferred_json,
)

VALUES = ReferenceValues(
    [
        EnvironmentSecrets(
            "S_", {"S_TOKEN": "hunter2-hunter2", "S_DB": '{"hosts":["a","b"],"password":"p&ss word"}', "X": "no"}
        )
    ],
    {"REGION": "eu"},
)


def deferral(path: str, before: str = "", after: str = "") -> Deferral:
    """Return a deferral of the key `x`."""
    return Deferral(at=("x",), parts=(before, path, after))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("workflow.secrets.TOKEN", "hunter2-hunter2"),
        ("workflow.secrets['TOKEN']", "hunter2-hunter2"),
        ("$.workflow.secrets.TOKEN", "hunter2-hunter2"),
        ("workflow.env.REGION", "eu"),
        ("workflow.secrets.DB.password", "p&ss word"),
        ("workflow.secrets.DB.hosts", ["a", "b"]),
        ("workflow.secrets.DB.hosts[1]", "b"),
        ("workflow.secrets.DB.hosts[*]", ["a", "b"]),
        ("workflow.secrets.DB.hosts.length()", 2),
    ],
)
def test_reference_gives_the_value_or_what_a_path_leads_to_in_it(path: str, expected: object) -> None:
    """A whole value is text; a path into it reads it as JSON."""
    assert VALUES.made_whole({"x": "?"}, [deferral(path)]).input == {"x": expected}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("workflow.secrets.NONE", "the secret 'NONE' is not known to the server: put a file"),
        ("workflow.secrets.REGION", "the secret 'REGION' is not known"),
        ("workflow.env.TOKEN", "the environment variable 'TOKEN' is not known to the server: name it with --env-name"),
        ("workflow.env.PATH", "the environment variable 'PATH' is not known"),
        ("workflow.secrets.TOKEN.x", "leads into the secret 'TOKEN', which is no JSON"),
        ("workflow.secrets.DB.user", "leads to nothing in the secret 'DB'"),
    ],
)
def test_reference_to_what_is_not_there_is_refused_without_telling_a_value(path: str, message: str) -> None:
    """The reason names what is missing and where to put it."""
    with pytest.raises(ReferenceUnresolved) as caught:
        VALUES.made_whole({"x": "?"}, [deferral(path)])

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "p&ss" not in str(caught.value)


def test_directory_gives_its_files_and_nothing_else(tmp_path: Path) -> None:
    """Without the line break at their end, as they are now, and never from outside of the folder."""
    folder = tmp_path / "secrets"
    (folder / "inner").mkdir(parents=True)
    (folder / "tls.key").write_text("line\nline\n")
    (folder / ".hidden").write_text("x")
    (folder / "blob").write_bytes(b"\xff")
    (folder / "large").write_bytes(b"x" * (SECRET_BYTES_MAX + 1))
    (tmp_path / "outside").write_text("x")
    source = DirectorySecrets(folder)

    assert source.find("tls.key") == "line\nline"
    (folder / "tls.key").write_text("exchanged")
    assert source.find("tls.key") == "exchanged"
    for name in ("../outside", "..", ".hidden", "inner", "none", "", "a/b", str(tmp_path / "outside")):
        assert source.find(name) is None
    for name in ("blob", "large"):
        with pytest.raises(ReferenceUnresolved, match=name):
            source.find(name)


def test_first_source_that_has_a_secret_gives_it(tmp_path: Path) -> None:
    """A file goes before a variable."""
    (tmp_path / "A").write_text("file")
    values = ReferenceValues(
        [DirectorySecrets(tmp_path), EnvironmentSecrets("S_", {"S_A": "variable", "S_B": "other"})]
    )

    assert values.made_whole({"x": ""}, [deferral("workflow.secrets.A")]).input == {"x": "file"}
    assert values.made_whole({"x": ""}, [deferral("workflow.secrets.B")]).input == {"x": "other"}


@pytest.mark.parametrize(
    "message",
    [
        "header 'hunter2-hunter2' is bad",
        "cannot reach https://h/?k=hunter2-hunter2&x=1",
        "cut off: 'hunter2-hun",
        "twice hunter2-hunter2hunter2-hunter2",
    ],
)
def test_message_about_a_task_is_masked(message: str) -> None:
    """Also where the secret was cut off."""
    whole = VALUES.made_whole({"x": "?"}, [deferral("workflow.secrets.TOKEN", "Bearer ")])

    assert "hunter2" not in str(whole.masked(message))
    assert whole.masked({"response": [message], "n": 1})["response"] == [whole.masked(message)]


def test_message_is_masked_however_the_secret_is_spelt_in_it() -> None:
    """Encoded for a URL, quoted as Python or JSON would."""
    whole = VALUES.made_whole({"x": "?"}, [deferral("workflow.secrets.DB.password")])

    for spelt in ("p&ss word", "p%26ss%20word", "p%26ss+word", "p&ss%20word"):
        assert whole.masked(f"<{spelt}>") == "<***>"


def test_environment_is_not_masked_and_values_are_not_shown() -> None:
    """The environment is no secret; and neither settings nor logs print what is one."""
    whole = VALUES.made_whole({"x": "?"}, [deferral("workflow.env.REGION")])

    assert whole.masked("eu") == "eu"
    assert "hunter2" not in repr(VALUES)


def queued(content: JsonObject) -> QueuedTask:
    """Return a task in a queue."""
    task_json = {"taskId": "a~1", "startTime": 0, "firstStartTime": 0, "scheduledTime": 0, "pollCount": 0, **content}
    return QueuedTask(task_id=TaskId("a~1"), task_type="t", render=lambda: task_json)


async def test_poller_gets_the_whole_input_and_the_secrets_that_the_definition_names() -> None:
    """Without the note of where they belong; what was queued stays as it was."""
    content: JsonObject = {
        "inputData": {"x": "Bearer ${workflow.secrets.TOKEN}"},
        DEFERRED_INPUT: deferred_json([deferral("workflow.secrets.TOKEN", "Bearer ")]),
        "workflowTask": {"taskDefinition": {"runtimeMetadata": ["TOKEN"]}},
    }
    queues = PollQueues(now_ms=lambda: 0, claim=lambda *_: None, references=VALUES)
    queues.offer(queued(content))

    (task,) = await queues.poll("t", worker_id="w", domain="", count=1, timeout_ms=0)

    assert task["inputData"] == {"x": "Bearer hunter2-hunter2"}
    assert task["runtimeMetadata"] == {"TOKEN": "hunter2-hunter2"}
    assert DEFERRED_INPUT not in task
    assert content["inputData"] == {"x": "Bearer ${workflow.secrets.TOKEN}"}


@pytest.mark.parametrize(
    "deferred", [5, [[["x"], ["", "no path[", ""]]], [[["y", 0], ["", "workflow.secrets.TOKEN", ""]]], [[[], ["a"]]]]
)
def test_record_that_does_not_fit_itself_is_refused(deferred: object) -> None:
    """What came through a topic may be anything; the poller of other tasks must not pay for it."""
    with pytest.raises(ReferenceUnresolved, match="does not fit the input"):
        VALUES.complete({"inputData": {"x": "?"}, DEFERRED_INPUT: deferred})


async def test_task_whose_secret_is_not_known_is_refused_and_the_next_one_handed_out() -> None:
    """It is not claimed; whoever refuses it ends it."""
    claims: list[object] = []
    refusals: list[tuple[TaskId, str]] = []
    queues = PollQueues(
        now_ms=lambda: 0,
        claim=lambda *claim: claims.append(claim),
        references=VALUES,
        refuse=lambda task, reason: refusals.append((task.task_id, reason)),
    )
    queues.offer(queued({"inputData": {"x": "?"}, DEFERRED_INPUT: deferred_json([deferral("workflow.secrets.NONE")])}))
    polled = await queues.poll("t", worker_id="w", domain="", count=1, timeout_ms=0)

    assert polled == []
    assert claims == []
    assert [task for task, _ in refusals] == ["a~1"]
    assert "the secret 'NONE' is not known" in refusals[0][1]
