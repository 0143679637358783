"""`podium describe`: one workflow on the terminal.

Must not compute what the server knows. Keeps the invariant that everything which explains where a workflow
stands is on one screen: its status, its reason, what it waits for, each attempt with its times.
"""

import datetime as dt
import sys
from typing import Final
from urllib.parse import quote

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.server import Server
from engine.json_value import JsonObject

_COLOURS: Final = {
    "COMPLETED": "green",
    "COMPLETED_WITH_ERRORS": "yellow",
    "FAILED": "red",
    "FAILED_WITH_TERMINAL_ERROR": "red",
    "TIMED_OUT": "red",
    "TERMINATED": "magenta",
    "CANCELED": "magenta",
    "RUNNING": "cyan",
    "IN_PROGRESS": "cyan",
    "PAUSED": "yellow",
}


def describe(server: Server, workflow_id: str, *, as_json: bool) -> None:
    """Print a workflow.

    Raises:
        CommandFailed: the server does not know it.
    """
    workflow = server.json("GET", f"/api/workflow/{quote(workflow_id, safe='')}?includeTasks=true")
    if as_json:
        sys.stdout.write(orjson.dumps(workflow, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    console = Console()
    for line in _head(workflow):
        console.print(line)
    tasks: list[JsonObject] = workflow["tasks"]
    if tasks:
        console.print(_table(tasks))


def _head(workflow: JsonObject) -> list[Text]:
    title = Text.assemble((workflow["workflowName"], "bold"), f" v{workflow['workflowVersion']}  ")
    title.append(workflow["status"], _COLOURS.get(workflow["status"], ""))
    lines = [title, Text(f"id        {workflow['workflowId']}")]
    begun, ended = workflow["startTime"], workflow["endTime"]
    times = _instant(begun)
    if ended:
        times += f" → {_instant(ended)}  ({_span(ended - begun)})"
    lines.append(Text(f"time      {times}"))
    for label, field in (
        ("reason", "reasonForIncompletion"),
        ("parent", "parentWorkflowId"),
        ("corr. id", "correlationId"),
    ):
        if workflow.get(field):
            lines.append(Text(f"{label:<9} {workflow[field]}"))
    if "waitingFor" in workflow:
        lines.append(Text(f"waits for {workflow['waitingFor']['sentence']}"))
    lines.append(Text(f"input     {_short(workflow['input'])}"))
    lines.append(Text(f"output    {_short(workflow['output'])}"))
    return lines


def _table(tasks: list[JsonObject]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "task", "type", "status"):
        table.add_column(name, no_wrap=name != "task")
    for name in ("try", "queued", "ran"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worker, reason, what it waits for")
    for task in tasks:
        waits = task.get("waitingFor", {}).get("sentence")
        remark = " ".join(filter(None, (task.get("workerId"), task.get("reasonForIncompletion"), waits)))
        ran = _span(task["endTime"] - task["startTime"]) if task["endTime"] and task["startTime"] else ""
        table.add_row(
            str(task["seq"]),
            Text(task["referenceTaskName"]),
            Text(task["taskType"]),
            Text(task["status"], _COLOURS.get(task["status"], "")),
            str(task["retryCount"] + 1),
            _span(task["queueWaitTime"]) if task["startTime"] else "",
            ran,
            Text(remark),
        )
    return table


def _instant(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def _span(length_ms: int) -> str:
    if length_ms < 1000:  # noqa: PLR2004 (milliseconds of a second)
        return f"{length_ms} ms"
    seconds = length_ms / 1000
    if seconds < 60:  # noqa: PLR2004 (seconds of a minute)
        return f"{seconds:.1f} s"
    return str(dt.timedelta(seconds=round(seconds)))


def _short(value: JsonObject) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004 (two lines of a wide terminal)
