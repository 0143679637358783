"""The last page of the demo: how the workflow ended, what it made, and where to look next.

Holds the summary. Must not change anything; the processes are asked only for their ids. Keeps the invariant
that every command it shows can be copied into a shell and works.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from deploy.demo.processes import Processes
from deploy.demo.screen import Screen, is_failure, status_style
from deploy.demo.video import ffmpeg_path

PODIUM: Final = Path(sys.executable).parent / "podium"
"""The console script, beside the interpreter that runs the demo."""


def report_result(workflow: dict[str, Any], screen: Screen) -> None:
    """Print the status and the playlist, or the reason why there is none."""
    screen.heading("Result")
    screen.fact("workflow", workflow["workflowId"])
    screen.fact("status", workflow["status"], style=f"bold {status_style(workflow['status'])}")
    if workflow["status"] == "COMPLETED":
        master = workflow["output"]["hlsUrl"]
        players = [name for name in ("mpv", "vlc", "ffplay") if shutil.which(name)]
        screen.fact("output", json.dumps(workflow["output"]))
        screen.fact("playlist", master, style="bold green")
        screen.command("play", [*players[:1], master] if players else ["mpv", master])
        screen.command("or decode it", [ffmpeg_path(), "-hide_banner", "-i", master, "-f", "null", "-"])
        return
    failed = [task for task in workflow["tasks"] if is_failure(task["status"]) and task.get("reasonForIncompletion")]
    for task in failed:
        screen.fact(task["referenceTaskName"], task["reasonForIncompletion"], style="bold red")
    if not failed:
        screen.fact("reason", workflow.get("reasonForIncompletion") or "(the server gave none)", style="bold red")


def report_next_steps(
    workflow: dict[str, Any], *, server_url: str, data: Path, processes: Processes, screen: Screen
) -> None:
    """Print how to look at the finished workflow: on the server that stays, or on one started again."""
    workflow_id = workflow["workflowId"]
    screen.heading("Where to look next")
    screen.fact("logs", str(data / "logs"))
    if processes.keep:
        screen.fact("server", server_url)
        screen.command("stop it all", ["kill", *(str(one.pid) for one in reversed(processes.all()))])
    else:
        port = server_url.rpartition(":")[2]
        screen.command("serve it again", [str(PODIUM), "serve", "--data", str(data / "podium"), "--port", port])
    screen.command("describe", [str(PODIUM), "describe", workflow_id, "--server", server_url])
    screen.command("as JSON", ["curl", "-s", f"{server_url}/api/workflow/{workflow_id}"])
    query = f"query=status%3D{workflow['status']}"
    screen.command("search", ["curl", "-s", f"{server_url}/api/workflow/search?{query}"])
