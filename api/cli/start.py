"""`podium start`: start a workflow, and wait for its end if asked to.

Must not do more than the REST interface offers. Keeps the invariant that standard output has nothing but what
a script wants: the id, or, with `--wait`, the output as JSON.
"""

import sys
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson

from api.cli.failures import CalledWrongly, CommandFailed
from api.cli.server import Server
from engine.json_value import JsonObject
from engine.status import WORKFLOW_TERMINAL, WorkflowStatus

_FIRST_PAUSE_SECONDS: Final = 0.02
_PAUSE_SECONDS_MAX: Final = 1.0
"""Between two looks: they begin close together, for a workflow may take milliseconds, and grow by half."""


def start(
    server: Server,
    name: str,
    *,
    version: int | None,
    workflow_input: str,
    correlation_id: str | None,
    priority: int,
    wait: bool,
) -> None:
    """Start a workflow and print its id, or wait and print its output.

    Raises:
        CommandFailed: the server refused, or the workflow did not complete.
    """
    request: JsonObject = {"name": name, "input": read_input(workflow_input), "priority": priority}
    if version is not None:
        request["version"] = version
    if correlation_id is not None:
        request["correlationId"] = correlation_id
    workflow_id = server.text("POST", "/api/workflow", request)
    if not wait:
        print(workflow_id)  # noqa: T201 (the command's output)
        return
    print(f"{workflow_id} started", file=sys.stderr)  # noqa: T201 (likewise)
    ended = _wait_ended(server, workflow_id)
    print(orjson.dumps(ended.get("output", {}), option=orjson.OPT_INDENT_2).decode())  # noqa: T201 (likewise)
    if ended["status"] != WorkflowStatus.COMPLETED:
        reason = ended.get("reasonForIncompletion") or "no reason given"
        message = f"workflow {workflow_id} ended {ended['status']}: {reason}. See `podium describe {workflow_id}`"
        raise CommandFailed(message)


def read_input(text: str) -> JsonObject:
    """Return the JSON object that an argument is, or that the file after its `@` (`-`: standard input) holds.

    Raises:
        CalledWrongly: it is not a JSON object.
    """
    content = text
    if text == "@-":
        content = sys.stdin.read()
    elif text.startswith("@"):
        try:
            content = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            message = f"--input names the file {text[1:]}, which cannot be read: {error}"
            raise CalledWrongly(message) from error
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        message = f"--input must be a JSON object or @file, but {error}"
        raise CalledWrongly(message) from error
    if not isinstance(value, dict):
        message = f'--input must be a JSON object such as \'{{"name": "Ada"}}\', but is {content[:40]}'
        raise CalledWrongly(message)
    return value


def _wait_ended(server: Server, workflow_id: str) -> JsonObject:
    """Return the workflow once it has ended. Waits as long as it runs: stop it with Ctrl-C, the workflow goes on."""
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        workflow = server.json("GET", f"/api/workflow/{quote(workflow_id, safe='')}?includeTasks=false")
        if workflow["status"] in WORKFLOW_TERMINAL:
            return workflow
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, _PAUSE_SECONDS_MAX)
