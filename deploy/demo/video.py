"""The real work of the demo, done by the ffmpeg in the wheel `imageio-ffmpeg`: probe a video, encode it.

Holds functions over files. Must not know workflows, tasks or the server: `video_worker.py` connects the two.
Keeps the invariant that every encoding writes into a folder of its own: a task may be done twice (its first
worker was slow, or died), and two attempts never mix their files.
"""

import re
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from deploy.demo.hls import INIT_SEGMENT, MEDIA_PLAYLIST, SEGMENT_SECONDS, EncodedRendition, measure

ENCODING_SECONDS_MAX: Final = 7200
"""The `timeoutSeconds` of the encoding tasks: a result that comes later is not wanted any more."""

PROBE_SECONDS_MAX: Final = 60

INPUT_RULES: Final = (
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf"),
)
"""What a stranger's file may be. A playlist in disguise would make ffmpeg open other files, or addresses."""

QUIET: Final = ("-loglevel", "error")

_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d\.\d+)")
_VIDEO_STREAM = re.compile(r"Stream #0:\d+.*?: Video: (\w+).*?, (\d{2,5})x(\d{2,5})(?!.*attached pic)")
_COMPLAINT_PREFIX = re.compile(r"^(\[[^\]]*\] )+")


class UnusableVideo(Exception):
    """The file can never be encoded, however often it is tried. The text tells a person what to do."""


class EncodingFailed(Exception):
    """ffmpeg ended with an error. Another try, perhaps on another machine, may succeed."""


@dataclass(frozen=True, kw_only=True)
class Rendition:
    """One quality of the stream. The picture fits into the box, keeps its shape, and is never enlarged."""

    name: str
    width_max: int
    height_max: int
    bits_per_second_max: int


RENDITIONS: Final = {
    "1080p": Rendition(name="1080p", width_max=1920, height_max=1080, bits_per_second_max=5_000_000),
    "720p": Rendition(name="720p", width_max=1280, height_max=720, bits_per_second_max=2_800_000),
}


@dataclass(frozen=True, kw_only=True)
class SourceVideo:
    """What the probe found. `duration_seconds` is what the file claims; only its first frame was decoded."""

    codec: str
    width: int
    height: int
    duration_seconds: float
    has_audio: bool
    size_bytes: int


def probe(source: Path) -> SourceVideo:
    """Decode the first frame of a file and return what the file is.

    Raises:
        UnusableVideo: there is no such file, or it is not a video that can be encoded.
    """
    if not source.is_file():
        raise UnusableVideo(f"There is no file {source}. Upload the video, then start the workflow again.")
    size_bytes = source.stat().st_size
    if size_bytes == 0:
        raise UnusableVideo(f"{source.name} is empty (0 bytes). The upload was cut off; upload the video again.")

    run = _ffmpeg(
        [*INPUT_RULES, "-i", str(source), "-map", "0:V:0", "-frames:v", "1", "-f", "null", "-"],
        seconds_max=PROBE_SECONDS_MAX,
    )
    described = run.stderr.split("\nStream mapping:")[0]
    stream = _VIDEO_STREAM.search(described)
    if run.returncode != 0 and "matches no streams" in run.stderr:
        raise UnusableVideo(
            f"{source.name} has no picture, only sound or other data. Upload a file with a video stream."
        )
    if run.returncode != 0 or stream is None:
        raise UnusableVideo(
            f"{source.name} ({size_bytes} bytes) is not a video that can be read: {_complaint(run.stderr)}. "
            "Expected a complete MP4, MOV, MKV, WebM, AVI, MPEG, FLV, Ogg or WMV file."
        )
    duration = _DURATION.search(described)
    if duration is None:
        raise UnusableVideo(
            f"{source.name} does not say how long it is. "
            "Remux it (ffmpeg -i IN -c copy OUT.mp4), then upload the result."
        )
    hours, minutes, seconds = duration.groups()
    return SourceVideo(
        codec=stream[1],
        width=int(stream[2]),
        height=int(stream[3]),
        duration_seconds=int(hours) * 3600 + int(minutes) * 60 + float(seconds),
        has_audio=": Audio: " in described,
        size_bytes=size_bytes,
    )


def encode(source: Path, rendition: Rendition, streams: Path) -> EncodedRendition:
    """Encode a file to HLS in a new folder below `streams`.

    A killed attempt leaves its folder behind; no playlist ever names it.

    Raises:
        EncodingFailed: ffmpeg could not do it. The folder of this attempt is left for a look.
    """
    folder = streams / f"{rendition.name}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    started = time.monotonic()
    run = _ffmpeg(
        [*QUIET, *INPUT_RULES, "-i", str(source.resolve()), *_encoder_options(rendition), *_hls_options()],
        seconds_max=ENCODING_SECONDS_MAX,
        folder=folder,
    )
    if run.returncode != 0:
        raise EncodingFailed(f"ffmpeg could not encode {source.name} to {rendition.name}: {_complaint(run.stderr)}")
    return measure(folder, name=rendition.name, encoded_in_ms=round((time.monotonic() - started) * 1000))


def generate_test_clip(target: Path, *, seconds: int) -> None:
    """Draw a moving 1080p test picture with a tone, so that the demo needs no file of its own."""
    run = _ffmpeg(
        [
            *QUIET,
            "-y",
            *("-f", "lavfi", "-i", f"testsrc2=size=1920x1080:rate=30:duration={seconds}"),
            *("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"),
            *("-f", "mp4", str(target)),
        ],
        seconds_max=PROBE_SECONDS_MAX,
    )
    if run.returncode != 0:
        raise EncodingFailed(f"ffmpeg could not draw the test clip: {_complaint(run.stderr)}")


def ffmpeg_path() -> str:
    """Return the ffmpeg binary that does the work."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _ffmpeg(
    arguments: Sequence[str], *, seconds_max: int, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg, in a folder if one is named. Its exit code is for the caller to judge."""
    return subprocess.run(
        [ffmpeg_path(), "-hide_banner", "-nostdin", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds_max,
        check=False,
    )


def _encoder_options(rendition: Rendition) -> Sequence[str]:
    fit = f"scale=w='min({rendition.width_max},iw)':h='min({rendition.height_max},ih)'"
    return (
        *("-map", "0:V:0", "-map", "0:a:0?"),
        *("-vf", f"{fit}:force_original_aspect_ratio=decrease:force_divisible_by=2,format=yuv420p"),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "23"),
        *("-maxrate", str(rendition.bits_per_second_max), "-bufsize", str(2 * rendition.bits_per_second_max)),
        # Keyframes at the same instants in every rendition: a player can change between them at each segment.
        *("-force_key_frames", f"expr:gte(t,n_forced*{SEGMENT_SECONDS})", "-sc_threshold", "0"),
        *("-c:a", "aac", "-b:a", "128k", "-ac", "2"),
    )


def _hls_options() -> Sequence[str]:
    return (
        *("-f", "hls", "-hls_time", str(SEGMENT_SECONDS), "-hls_playlist_type", "vod"),
        *("-hls_flags", "independent_segments", "-hls_segment_type", "fmp4"),
        *("-hls_fmp4_init_filename", INIT_SEGMENT, "-hls_segment_filename", "segment_%03d.m4s"),
        MEDIA_PLAYLIST,
    )


def _complaint(stderr: str) -> str:
    """Return the line of ffmpeg's output that names the cause, not the general complaints around it."""
    lines = [_COMPLAINT_PREFIX.sub("", line).strip().rstrip(".") for line in stderr.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("Error opening", "Format ", "frame="))]
    return causes[-1] if causes else "ffmpeg gave no reason"
