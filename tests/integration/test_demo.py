"""Claims about the demo's parts: the work on the video is real, and its processes leave nothing behind.

Holds tests that need no server. Must not replace ffmpeg by anything. Keeps the claim that each figure in a
playlist is checked against the encoded files by somebody else: ffmpeg's own demuxer and playlist writer.
"""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.demo.hls import EncodedRendition, package
from deploy.demo.media import InvalidVideoId, MediaFolder
from deploy.demo.processes import Processes
from deploy.demo.video import (
    RENDITIONS,
    EncodingFailed,
    SourceVideo,
    UnusableVideo,
    encode,
    ffmpeg_path,
    generate_test_clip,
    probe,
)
from deploy.demo.video_worker import VideoHandlers
from deploy.demo.worker import TerminalFailure

DEMO = Path(__file__).parents[2] / "deploy" / "demo"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the generated two-second test clip."""
    path = tmp_path_factory.mktemp("library") / "clip.mp4"
    generate_test_clip(path, seconds=2)
    return path


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the encodings of this module share."""
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def encoded(clip: Path, streams: Path) -> dict[str, EncodedRendition]:
    """Return both renditions of the clip."""
    return {name: encode(clip, rendition, streams) for name, rendition in RENDITIONS.items()}


def run_ffmpeg(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg directly, not through the code under test."""
    command = [ffmpeg_path(), "-hide_banner", "-nostdin", *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def attributes_of(master: Path) -> list[dict[str, str]]:
    """Return the attributes of each EXT-X-STREAM-INF line of a master playlist."""
    lines = [line for line in master.read_text().splitlines() if line.startswith("#EXT-X-STREAM-INF:")]
    found = [re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', line) for line in lines]
    return [{name: value.strip('"') for name, value in attributes} for attributes in found]


def test_probe_of_a_good_clip_tells_what_it_is(clip: Path) -> None:
    """The probe reads size, length and sound of the clip that was generated with exactly these."""
    found = probe(clip)

    expected = SourceVideo(
        codec="h264",
        width=1920,
        height=1080,
        duration_seconds=2.0,
        has_audio=True,
        size_bytes=clip.stat().st_size,
    )
    assert found == expected


def test_probe_of_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    """The reason names the file that should be there."""
    with pytest.raises(UnusableVideo, match=re.escape(str(tmp_path / "nothing.mp4"))):
        probe(tmp_path / "nothing.mp4")


def test_probe_of_an_empty_file_is_refused_as_a_cut_off_upload(tmp_path: Path) -> None:
    """Zero bytes are the commonest broken upload, and have a reason of their own."""
    path = tmp_path / "empty.mp4"
    path.touch()

    with pytest.raises(UnusableVideo, match=r"empty \(0 bytes\)"):
        probe(path)


def test_probe_of_a_text_file_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    """The reason says what came and which formats would do."""
    path = tmp_path / "letter.mp4"
    path.write_text("Dear viewer,\n")

    with pytest.raises(UnusableVideo, match=r"letter.mp4 \(13 bytes\) is not a video .* Expected a complete MP4"):
        probe(path)


def test_probe_of_a_cut_off_video_is_refused(clip: Path, tmp_path: Path) -> None:
    """A video whose end is missing cannot be encoded, and is not even tried."""
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.read_bytes()[:50_000])

    with pytest.raises(UnusableVideo, match="moov atom not found"):
        probe(path)


def test_probe_of_sound_without_picture_is_refused_as_such(tmp_path: Path) -> None:
    """A sound file is readable, so its reason is another one: there is no picture."""
    path = tmp_path / "song.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", path)

    with pytest.raises(UnusableVideo, match="no picture"):
        probe(path)


def test_probe_of_a_playlist_in_disguise_opens_no_other_file(clip: Path, tmp_path: Path) -> None:
    """A playlist that points to a good video is refused: an upload must not make ffmpeg read other files."""
    path = tmp_path / "trojan.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n")

    with pytest.raises(UnusableVideo):
        probe(path)


@pytest.mark.parametrize(("name", "size"), [("1080p", (1920, 1080)), ("720p", (1280, 720))])
def test_encoded_rendition_decodes_at_the_size_it_states(
    encoded: dict[str, EncodedRendition], name: str, size: tuple[int, int]
) -> None:
    """A player that follows the media playlist gets sixty frames of the stated size."""
    rendition = encoded[name]

    decoded = run_ffmpeg("-i", rendition.playlist, "-map", "0:v", "-f", "null", "-")

    assert (rendition.width, rendition.height) == size
    assert decoded.returncode == 0, decoded.stderr
    assert f", {size[0]}x{size[1]}" in decoded.stderr
    assert re.findall(r"frame= *(\d+)", decoded.stderr)[-1] == "60"


@pytest.mark.parametrize("name", ["1080p", "720p"])
def test_encoded_rendition_states_the_codecs_that_ffmpeg_states(
    encoded: dict[str, EncodedRendition], name: str, tmp_path: Path
) -> None:
    """CODECS is read from the encoded file; ffmpeg's own playlist writer comes to the same text."""
    hls = ("-f", "hls", "-hls_segment_type", "fmp4", "-master_pl_name", "master.m3u8")
    copied = run_ffmpeg("-i", encoded[name].playlist, "-c", "copy", *hls, tmp_path / "index.m3u8")

    assert copied.returncode == 0, copied.stderr
    assert attributes_of(tmp_path / "master.m3u8")[0]["CODECS"] == encoded[name].codecs


def test_encoded_rendition_states_the_bits_per_second_of_its_segments(
    encoded: dict[str, EncodedRendition],
) -> None:
    """Two seconds make one segment: peak and average are its size over two seconds."""
    for rendition in encoded.values():
        (segment,) = rendition.playlist.parent.glob("*.m4s")
        assert rendition.segment_count == 1
        assert rendition.peak_bits_per_second == rendition.average_bits_per_second
        assert rendition.average_bits_per_second == pytest.approx(segment.stat().st_size * 8 / 2, rel=0.01)


def test_two_attempts_of_one_encoding_share_no_file(
    clip: Path, encoded: dict[str, EncodedRendition], streams: Path
) -> None:
    """The second attempt writes beside the first one, which stays as it was."""
    first = encoded["720p"]
    before = {path: path.read_bytes() for path in first.playlist.parent.iterdir()}

    second = encode(clip, RENDITIONS["720p"], streams)

    assert second.playlist.parent != first.playlist.parent
    assert {path: path.read_bytes() for path in first.playlist.parent.iterdir()} == before


def test_a_small_silent_video_is_neither_enlarged_nor_given_sound(tmp_path: Path) -> None:
    """The renditions are upper bounds; a stream without sound does not state a sound codec."""
    source = tmp_path / "small.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=322x240:rate=10:duration=1", "-pix_fmt", "yuv420p", source)

    rendition = encode(source, RENDITIONS["1080p"], tmp_path / "streams")

    assert (rendition.width, rendition.height) == (322, 240)
    assert re.fullmatch(r"avc1\.[0-9a-f]{6}", rendition.codecs)


def test_a_tall_video_keeps_its_shape(tmp_path: Path) -> None:
    """A picture of 9:16 is fitted into the height, with even numbers as the codec needs them."""
    source = tmp_path / "tall.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=1080x1920:rate=5:duration=1", "-pix_fmt", "yuv420p", source)

    rendition = encode(source, RENDITIONS["720p"], tmp_path / "streams")

    assert (rendition.width, rendition.height) in {(404, 720), (406, 720)}


def test_encoding_of_an_unreadable_file_fails_with_the_cause(tmp_path: Path) -> None:
    """What the probe did not see (the file has changed since) is an ordinary, retriable failure."""
    source = tmp_path / "broken.mp4"
    source.write_text("not a video")

    with pytest.raises(EncodingFailed, match=r"broken\.mp4 to 720p: .*(moov atom|Invalid data)"):
        encode(source, RENDITIONS["720p"], tmp_path / "streams")


def test_master_playlist_lists_the_renditions_best_first_with_their_measured_figures(
    encoded: dict[str, EncodedRendition], streams: Path
) -> None:
    """Each entry holds exactly what was measured, and a path that a player can follow from the playlist."""
    master = package([encoded["720p"], encoded["1080p"]], streams)

    expected = [
        {
            "BANDWIDTH": str(rendition.peak_bits_per_second),
            "AVERAGE-BANDWIDTH": str(rendition.average_bits_per_second),
            "RESOLUTION": f"{rendition.width}x{rendition.height}",
            "CODECS": rendition.codecs,
        }
        for rendition in (encoded["1080p"], encoded["720p"])
    ]
    paths = [line for line in master.read_text().splitlines() if not line.startswith("#")]
    assert attributes_of(master) == expected
    assert [master.parent / path for path in paths] == [encoded["1080p"].playlist, encoded["720p"].playlist]


def test_master_playlist_plays_both_renditions(encoded: dict[str, EncodedRendition], streams: Path) -> None:
    """A player that opens the master playlist finds two pictures and decodes both to their end."""
    master = package(list(encoded.values()), streams)

    decoded = run_ffmpeg("-i", master, "-map", "0:v", "-f", "null", "-")

    assert decoded.returncode == 0, decoded.stderr
    assert set(re.findall(r"Video: h264.*?, (\d+x\d+)", decoded.stderr)) == {"1920x1080", "1280x720"}


def test_master_playlist_written_twice_is_the_same_and_leaves_no_draft(
    encoded: dict[str, EncodedRendition], streams: Path
) -> None:
    """Packaging is idempotent: the task may be done twice."""
    first = package(list(encoded.values()), streams).read_bytes()

    assert package(list(encoded.values()), streams).read_bytes() == first
    assert list(streams.glob("*.tmp")) == []


@pytest.mark.parametrize(
    "video_id", ["", "../secret", "/etc/passwd", "a/b", "a.mp4", ".", "-x", "a" * 65, "a\n", None, 7]
)
def test_a_video_id_that_could_be_a_path_is_refused(tmp_path: Path, video_id: object) -> None:
    """Neither a source nor a stream folder exists for such an id."""
    media = MediaFolder(tmp_path)

    with pytest.raises(InvalidVideoId):
        media.source(video_id)
    with pytest.raises(InvalidVideoId):
        media.streams(video_id)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("title", "video_id"), [("My Holiday (2)", "my-holiday-2"), ("…", "video"), ("x" * 99, "x" * 64)]
)
def test_every_file_name_makes_a_legal_video_id(tmp_path: Path, title: str, video_id: str) -> None:
    """Whatever the user's file is called, its id can be used."""
    media = MediaFolder(tmp_path)

    assert media.new_source(title) == (video_id, media.source(video_id))


@pytest.mark.parametrize("task_input", [{}, {"videoId": None}, {"videoId": "../../etc/passwd"}, {"videoId": "unknown"}])
def test_validation_of_a_useless_input_ends_the_task_for_good(tmp_path: Path, task_input: dict[str, Any]) -> None:
    """No retry can mend a missing, illegal or unknown id, so none is asked for."""
    handlers = VideoHandlers(server="http://127.0.0.1:1", media=MediaFolder(tmp_path))

    with pytest.raises(TerminalFailure):
        handlers.validate_input({"inputData": task_input})


def test_every_worker_task_of_the_workflow_has_a_definition_and_a_handler(tmp_path: Path) -> None:
    """The definitions, the workers and the workflow speak of the same four task types."""
    workflow = json.loads((DEMO / "video_processing_workflow.json").read_text())
    branches = [branch for task in workflow["tasks"] for branch in task.get("forkTasks", [])]
    tasks = [*workflow["tasks"], *(task for branch in branches for task in branch)]
    task_types = {task["name"] for task in tasks if task["type"] == "SIMPLE"}
    handlers = VideoHandlers(server="http://127.0.0.1:1", media=MediaFolder(tmp_path)).by_task_type()

    assert {one["name"] for one in json.loads((DEMO / "taskdefs.json").read_text())} == task_types
    assert set(handlers) == task_types


def test_processes_are_ended_with_their_children(tmp_path: Path) -> None:
    """An encoder's ffmpeg is a child of a child; it ends too."""
    with Processes(logs=tmp_path) as processes:
        started = processes.start("parent", ["sh", "-c", "sleep 300 & echo ready; wait"])
        children = _wait_for_children(psutil.Process(started.pid))

    assert started.process.returncode == -signal.SIGTERM
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_a_killed_process_is_no_crash_but_one_that_ends_by_itself_is(tmp_path: Path) -> None:
    """The demo goes on after the kill that it did itself, and stops at any other end of a process."""
    with Processes(logs=tmp_path) as processes:
        processes.start("victim", ["sleep", "300"])
        processes.kill("victim")
        assert processes.first_crashed() is None

        crashed = processes.start("worker", ["sh", "-c", "echo out of order; exit 3"])
        crashed.process.wait(timeout=5)
        assert processes.first_crashed() == crashed
        assert crashed.last_words() == "out of order"


def test_kept_processes_go_on(tmp_path: Path) -> None:
    """With `keep` the end of the demo is not the end of its processes."""
    with Processes(logs=tmp_path) as processes:
        started = processes.start("server", ["sleep", "300"])
        processes.keep = True
    try:
        assert started.process.poll() is None
    finally:
        started.process.kill()
        started.process.wait()


def _wait_for_children(process: psutil.Process) -> list[psutil.Process]:
    """Return the children of a process as soon as it has any."""
    while process.is_running():
        children: list[psutil.Process] = process.children()
        if children:
            return children
    raise AssertionError(f"process {process.pid} ended before it had a child")
