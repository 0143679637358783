"""One worker process of the demo: connects a task type of the workflow to the work on the video.

Holds the four handlers and the command line. Must not touch pictures or playlists itself. Keeps the invariant
that a fault of the video ends its task for good, while a fault of the machine leaves it to be tried again.

The workflow hands only `videoId` to its first task, and nothing to the others. They read what they need from
the workflow itself: every task names it in `workflowInstanceId`.
"""

import argparse
import contextlib
from pathlib import Path
from typing import Any

import requests

from deploy.demo.hls import EncodedRendition, package
from deploy.demo.media import InvalidVideoId, MediaFolder
from deploy.demo.video import RENDITIONS, Rendition, UnusableVideo, encode, probe
from deploy.demo.worker import Handler, Task, TerminalFailure, Worker


class VideoHandlers:
    """What is done for each task type. Every method may run twice for one task."""

    def __init__(self, *, server: str, media: MediaFolder) -> None:
        self._server = server
        self._media = media

    def by_task_type(self) -> dict[str, Handler]:
        """Return all handlers, by the task type they do."""
        return {
            "validate_input": self.validate_input,
            "encode_1080p": lambda task: self.encode(task, RENDITIONS["1080p"]),
            "encode_720p": lambda task: self.encode(task, RENDITIONS["720p"]),
            "package_hls": self.package_hls,
        }

    def validate_input(self, task: Task) -> dict[str, Any]:
        """Look into the uploaded file, and refuse what no encoder could use."""
        try:
            source = probe(self._media.source(task["inputData"].get("videoId")))
        except (UnusableVideo, InvalidVideoId) as fault:
            raise TerminalFailure(str(fault)) from fault
        return {
            "codec": source.codec,
            "width": source.width,
            "height": source.height,
            "durationSeconds": source.duration_seconds,
            "hasAudio": source.has_audio,
            "sizeBytes": source.size_bytes,
        }

    def encode(self, task: Task, rendition: Rendition) -> dict[str, Any]:
        """Encode the workflow's video to one rendition."""
        video_id = self._workflow(task)["input"]["videoId"]
        encoded = encode(self._media.source(video_id), rendition, self._media.streams(video_id))
        return _to_output(encoded)

    def package_hls(self, task: Task) -> dict[str, Any]:
        """Write the master playlist over what the accepted encoding attempts have reported."""
        workflow = self._workflow(task)
        streams = self._media.streams(workflow["input"]["videoId"])
        renditions = [_from_output(done["outputData"]) for done in workflow["tasks"] if _is_finished_encoding(done)]
        return {
            "manifestUrl": str(package(renditions, streams)),
            "renditions": [one.name for one in renditions],
        }

    def _workflow(self, task: Task) -> dict[str, Any]:
        response = requests.get(f"{self._server}/api/workflow/{task['workflowInstanceId']}", timeout=30)
        response.raise_for_status()
        workflow: dict[str, Any] = response.json()
        return workflow


def _is_finished_encoding(task: Task) -> bool:
    return task["taskDefName"] in ("encode_1080p", "encode_720p") and task["status"] == "COMPLETED"


def _to_output(encoded: EncodedRendition) -> dict[str, Any]:
    return {
        "rendition": encoded.name,
        "playlist": str(encoded.playlist),
        "width": encoded.width,
        "height": encoded.height,
        "codecs": encoded.codecs,
        "peakBitsPerSecond": encoded.peak_bits_per_second,
        "averageBitsPerSecond": encoded.average_bits_per_second,
        "segmentCount": encoded.segment_count,
        "encodedInMs": encoded.encoded_in_ms,
    }


def _from_output(output: dict[str, Any]) -> EncodedRendition:
    return EncodedRendition(
        name=output["rendition"],
        playlist=Path(output["playlist"]),
        width=output["width"],
        height=output["height"],
        codecs=output["codecs"],
        peak_bits_per_second=output["peakBitsPerSecond"],
        average_bits_per_second=output["averageBitsPerSecond"],
        segment_count=output["segmentCount"],
        encoded_in_ms=output["encodedInMs"],
    )


def main() -> None:
    """Run one worker until the process is stopped."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--server", required=True, help="for example http://127.0.0.1:8080")
    arguments.add_argument("--media", required=True, type=Path, help="folder of library/ and streams/")
    arguments.add_argument("--type", required=True, help="task type to work on, for example encode_720p")
    arguments.add_argument("--worker-id", required=True, help="name that people see as the doer of a task")
    given = arguments.parse_args()
    handlers = VideoHandlers(server=given.server, media=MediaFolder(given.media)).by_task_type()
    if given.type not in handlers:
        arguments.error(f"--type {given.type}: expected one of {', '.join(sorted(handlers))}")
    with contextlib.suppress(KeyboardInterrupt):
        Worker(server=given.server, task_type=given.type, worker_id=given.worker_id).run(handlers[given.type])


if __name__ == "__main__":
    main()
