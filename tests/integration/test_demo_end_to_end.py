"""Claims about `make demo`: run as its users run it, on a real server with real workers.

Holds runs of the whole demo as a subprocess. Must not look into its modules: only at what it prints, writes
and leaves. Keeps the claim that every run ends everything that it started.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from deploy.demo.video import ffmpeg_path

RUN = Path(__file__).parents[2] / "deploy" / "demo" / "run.py"

pytestmark = pytest.mark.slow


def run_demo(data: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    with start_demo(data, *options) as process:
        try:
            output, _ = process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # it ends its processes, and tells how far it came
            output, _ = process.communicate(timeout=30)
            raise AssertionError(f"the demo did not end in 90 s. It said:\n{output}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def start_demo(data: Path, *options: str | Path) -> subprocess.Popen[str]:
    """Start the demo with an output that is no terminal."""
    command = [sys.executable, "-u", str(RUN), "--data", str(data), *(str(option) for option in options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def processes_of(data: Path) -> Sequence[psutil.Process]:
    """Return all processes that were started for this data folder."""
    running = psutil.process_iter(["cmdline"])
    return [one for one in running if any(str(data) in word for word in one.info["cmdline"] or ())]


def test_demo_turns_the_test_clip_into_a_stream_that_plays(tmp_path: Path) -> None:
    """The workflow completes, and the playlist in its output decodes at both sizes."""
    data = tmp_path / "demo"

    demo = run_demo(data)

    master = data / "streams" / "test-clip" / "master.m3u8"
    decoded = subprocess.run(
        [ffmpeg_path(), "-nostdin", "-i", str(master), "-map", "0:v", "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout
    assert re.search(r"status +COMPLETED", demo.stdout), demo.stdout
    assert str(master) in demo.stdout
    assert decoded.returncode == 0, decoded.stderr
    assert set(re.findall(r"Video: h264.*?, (\d+x\d+)", decoded.stderr)) == {"1920x1080", "1280x720"}
    assert processes_of(data) == []


def test_demo_encodes_a_file_of_the_users_own(tmp_path: Path) -> None:
    """A file with an awkward name is processed where it is; the library only links to it."""
    video = tmp_path / "My [red] holiday.mov"
    source = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=10:duration=1", "-pix_fmt", "yuv420p"]
    subprocess.run([ffmpeg_path(), "-nostdin", *source, str(video)], capture_output=True, timeout=60, check=True)
    data = tmp_path / "demo"

    demo = run_demo(data, "--video", video)

    assert demo.returncode == 0, demo.stdout
    assert (data / "library" / "my-red-holiday.mp4").readlink() == video
    assert (data / "streams" / "my-red-holiday" / "master.m3u8").read_text().count("RESOLUTION=640x360") == 2


def test_demo_of_a_broken_video_ends_as_a_failed_workflow_that_says_why(tmp_path: Path) -> None:
    """A text file is refused at once and for good: one attempt, no encoding, the reason on the screen."""
    video = tmp_path / "letter.txt"
    video.write_text("Dear viewer,\n")
    data = tmp_path / "demo"

    demo = run_demo(data, "--video", video)

    assert demo.returncode == 1, demo.stdout
    assert re.search(r"status +FAILED", demo.stdout), demo.stdout
    assert "letter.mp4 (13 bytes) is not a video that can be read" in demo.stdout
    assert "attempt 2" not in demo.stdout
    assert "encode_" not in demo.stdout.split("started workflow")[1].split("Result")[0]
    assert processes_of(data) == []


def test_demo_survives_the_death_of_an_encoder(tmp_path: Path) -> None:
    """The killed worker's attempt times out, the other worker's counts, and the workflow completes."""
    data = tmp_path / "demo"

    demo = run_demo(data, "--kill-encoder")

    killed = re.search(r"killed (encoder-1080p-[12]) ", demo.stdout)
    assert demo.returncode == 0, demo.stdout
    assert killed is not None, demo.stdout
    other = {"encoder-1080p-1": "encoder-1080p-2", "encoder-1080p-2": "encoder-1080p-1"}[killed[1]]
    assert re.search(rf"encode_1080p_ref +TIMED_OUT +attempt 1 on {killed[1]}", demo.stdout), demo.stdout
    assert re.search(rf"encode_1080p_ref +COMPLETED +attempt 2 on {other}", demo.stdout), demo.stdout
    assert processes_of(data) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_demo_that_is_interrupted_ends_its_processes(tmp_path: Path, number: signal.Signals) -> None:
    """Ended in the middle of a run, by a person or with its terminal, it leaves no server and no worker."""
    data = tmp_path / "demo"

    with start_demo(data, "--kill-encoder") as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "started workflow" in line or "logs" in line)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)

    assert "started workflow" in said, said
    assert process.returncode == 130, rest
    assert processes_of(data) == []


def test_demo_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    """It writes over nothing; the command line is answered with exit code 2 before anything starts."""
    (tmp_path / "precious.txt").write_text("mine")

    demo = run_demo(tmp_path)

    assert demo.returncode == 2
    assert "not empty" in demo.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_demo_refuses_a_video_that_does_not_exist(tmp_path: Path) -> None:
    """A typing error in the path is a wrong command line, not a failed workflow."""
    demo = run_demo(tmp_path / "demo", "--video", tmp_path / "nothing.mp4")

    assert demo.returncode == 2
    assert "there is no such file" in demo.stdout
