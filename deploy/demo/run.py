"""The demo: a video goes through a real pipeline, from an uploaded file to a playable HLS stream.

Holds the command line and the order of the steps. Must not do any step's work itself: the server decides what
runs, the worker processes do it. Keeps the invariant that the exit code tells how the workflow ended: 0 when
it is COMPLETED, 1 when it is not, 2 for a wrong command line, 130 when the demo was interrupted.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import requests

from deploy.demo.media import MediaFolder
from deploy.demo.processes import Processes, Started, free_port
from deploy.demo.report import PODIUM, report_next_steps, report_result
from deploy.demo.rest import PodiumServer, RequestRefused
from deploy.demo.screen import Screen
from deploy.demo.video import EncodingFailed, generate_test_clip

HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parent.parent

WORKERS: Final = (
    ("validator", "validate_input"),
    ("encoder-1080p-1", "encode_1080p"),
    ("encoder-1080p-2", "encode_1080p"),
    ("encoder-720p-1", "encode_720p"),
    ("encoder-720p-2", "encode_720p"),
    ("packager", "package_hls"),
)
"""Worker ids and task types. Of two workers for one encoding, one works; the other steps in when it dies."""

SERVER_START_SECONDS_MAX: Final = 30
WATCH_PAUSE_SECONDS: Final = 0.1

CLIP_SECONDS: Final = 2
CLIP_SECONDS_FOR_KILL: Final = 8
"""Long enough that the encoder is still at work when it is killed, on a fast machine too."""


class DemoFailed(Exception):
    """The demo cannot go on. The text says why and what to do."""


class Demo:
    """One run. `data` is the only folder that it writes to."""

    def __init__(self, *, data: Path, processes: Processes, screen: Screen) -> None:
        self._data = data
        self._media = MediaFolder(data)
        self._processes = processes
        self._screen = screen

    def run(self, *, video: Path | None, kill_encoder: bool) -> tuple[PodiumServer, dict[str, Any]]:
        """Go through all steps; return the server, and the workflow as it is at its end."""
        # 1. The server, with its embedded defaults: one process, no Kafka, no ClickHouse server.
        server = self._start_server()
        # 2. What shall happen: four task definitions, and the workflow that puts them in order.
        definition = json.loads((HERE / "video_processing_workflow.json").read_text())
        name, version = definition["name"], definition["version"]
        task_definitions = json.loads((HERE / "taskdefs.json").read_text())
        server.register(task_definitions=task_definitions, workflow_definition=definition)
        self._screen.step(f"registered {name} version {version} and its {len(task_definitions)} task types")
        # 3. Who does it.
        self._start_workers(server)
        # 4. What it is done to. A workflow never carries the video, only its id.
        video_id = self._upload(video, clip_seconds=CLIP_SECONDS_FOR_KILL if kill_encoder else CLIP_SECONDS)
        # 5. Go.
        workflow_id = server.start(name=name, version=version, workflow_input={"videoId": video_id})
        self._screen.step(f"started workflow {workflow_id}")
        with self._screen:
            return server, self._watch(server, workflow_id, victim="encode_1080p" if kill_encoder else None)

    def _start_server(self) -> PodiumServer:
        if not PODIUM.exists():
            raise DemoFailed(f"There is no {PODIUM}. Run `make setup` first: it installs Podium.")
        port = free_port()
        command = [str(PODIUM), "serve", "--data", str(self._data / "podium"), "--port", str(port)]
        started = self._processes.start("server", command)
        server = PodiumServer(f"http://127.0.0.1:{port}")
        give_up_at = time.monotonic() + SERVER_START_SECONDS_MAX
        while not server.is_healthy():
            self._refuse_crashes()
            if time.monotonic() > give_up_at:
                said = started.last_words()
                raise DemoFailed(f"The server was not ready in {SERVER_START_SECONDS_MAX} s. It said:\n{said}")
            time.sleep(0.05)
        self._screen.step(f"Podium serves {server.url} (pid {started.pid})")
        return server

    def _start_workers(self, server: PodiumServer) -> None:
        """Start one process per worker. It knows the server's URL and the media folder, nothing else."""
        script, media = str(HERE / "video_worker.py"), str(self._data)
        for worker_id, task_type in WORKERS:
            place = ("--server", server.url, "--media", media)
            role = ("--type", task_type, "--worker-id", worker_id)
            self._processes.start(worker_id, [sys.executable, script, *place, *role])
        names = ", ".join(worker_id for worker_id, _ in WORKERS)
        self._screen.step(f"started {len(WORKERS)} workers: {names}")

    def _upload(self, video: Path | None, *, clip_seconds: int) -> str:
        video_id, target = self._media.new_source(video.stem if video is not None else "test-clip")
        if video is None:
            generate_test_clip(target, seconds=clip_seconds)
            self._screen.step(f"generated a test clip of {clip_seconds} seconds as video {video_id}")
        else:
            target.symlink_to(video.resolve())
            self._screen.step(f"linked {video} into the library as video {video_id}")
        return video_id

    def _watch(self, server: PodiumServer, workflow_id: str, *, victim: str | None) -> dict[str, Any]:
        """Show the workflow until it ends; kill one worker of the task type `victim` while it encodes."""
        while True:
            workflow = server.workflow(workflow_id)
            self._screen.show(workflow)
            if workflow["status"] not in ("RUNNING", "PAUSED"):
                return workflow
            self._refuse_crashes()
            if victim is not None and (killed := self._kill_encoder(workflow, victim)) is not None:
                self._screen.notice(f"killed {killed.name} (pid {killed.pid}) in mid-encode: who takes over?")
                victim = None
            time.sleep(WATCH_PAUSE_SECONDS)

    def _kill_encoder(self, workflow: dict[str, Any], task_type: str) -> Started | None:
        streams = self._media.streams(workflow["input"]["videoId"])
        if not any(streams.glob(f"{task_type.removeprefix('encode_')}-*/init.mp4")):
            return None  # the encoder has written nothing yet
        for task in workflow["tasks"]:
            if task["taskDefName"] == task_type and task["status"] == "IN_PROGRESS":
                return self._processes.kill(task["workerId"])
        return None

    def _refuse_crashes(self) -> None:
        crashed = self._processes.first_crashed()
        if crashed is not None:
            code, said = crashed.process.returncode, crashed.last_words()
            raise DemoFailed(f"{crashed.name} (pid {crashed.pid}) ended with code {code}. It said:\n{said}")


def main() -> int:
    """Run the demo and return its exit code."""
    options = _options()
    data = _data_folder(options.data)
    screen = Screen()
    # Ended from outside, or with its terminal, is like Ctrl-C: the processes are ended all the same.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with Processes(logs=data / "logs") as processes:
            demo = Demo(data=data, processes=processes, screen=screen)
            server, workflow = demo.run(video=options.video, kill_encoder=options.kill_encoder)
            processes.keep = options.keep
            report_result(workflow, screen)
            report_next_steps(workflow, server_url=server.url, data=data, processes=processes, screen=screen)
    except (DemoFailed, EncodingFailed, RequestRefused, requests.RequestException) as error:
        screen.error(str(error))
        screen.fact("logs", str(data / "logs"))
        return 1
    except KeyboardInterrupt:
        screen.notice("interrupted; every process of the demo has been ended")
        return 130
    return 0 if workflow["status"] == "COMPLETED" else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--video", type=Path, help="your own video file (default: a generated test clip)")
    parser.add_argument("--data", type=Path, help="new or empty folder for everything (default: below .demo/)")
    parser.add_argument("--keep", action="store_true", help="leave server and workers running at the end")
    parser.add_argument("--kill-encoder", action="store_true", help="kill a worker in the middle of its work")
    options = parser.parse_args()
    if options.video is not None:
        options.video = options.video.expanduser()  # a shell leaves the tilde in `make demo VIDEO=~/x.mp4` alone
    if options.video is not None and not options.video.is_file():
        parser.error(f"--video {options.video}: there is no such file")
    if options.data is not None and options.data.exists() and any(options.data.iterdir()):
        parser.error(f"--data {options.data}: the folder is not empty, and the demo writes over nothing")
    return options


def _data_folder(wanted: Path | None) -> Path:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        return wanted.resolve()
    (PROJECT / ".demo").mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=PROJECT / ".demo"))


if __name__ == "__main__":
    sys.exit(main())
