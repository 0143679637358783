"""The script process: reads a job, runs it, writes what it came to; one at a time.

Holds the loop. Must not import anything that is slow to start, nor anything at all once it is confined. Keeps the
invariant that every job is answered once, or the process is gone.

Started by `streams.scripts.process` with the conversation as descriptor 0.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from streams.scripts.confinement import AddressSpace, allow, bound_memory, confine
from streams.scripts.framing import FAILURE, READY, VALUE, read_frame, write_frame
from streams.scripts.javascript import JavaScript
from streams.scripts.jq_programs import JqPrograms
from streams.scripts.limits import (
    CRASHED,
    DOCUMENT_BYTES_MAX,
    GROWTH_BYTES_MAX,
    JOBS_PER_PROCESS_MAX,
    MEMORY,
    SOURCE_BYTES_MAX,
)
from streams.scripts.outcome import Failure, Outcome

_CONVERSATION: Final = 0
_STANDARD: Final = 3
_JOB_BYTES_MAX: Final = 16 * SOURCE_BYTES_MAX
"""A job with its source: JSON may write one byte of it as six."""


def main(server: int) -> None:
    """Serve until the server hangs up, or until the process is better replaced."""
    # Whatever came with the start besides the conversation, the null device and the pipe for errors.
    os.closerange(_STANDARD, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    os.environ.clear()
    os.environ["TZ"] = "UTC"
    time.tzset()
    _be_killed_first()
    javascript, programs = JavaScript(), JqPrograms()
    _warm_up(javascript, programs)
    address_space = AddressSpace()
    base_bytes = address_space.bytes_now()
    protections = confine(server=server)
    bound_memory(base_bytes)
    # From here on nobody reads what a library prints.
    told = json.dumps(protections).encode()
    for _ in range(JOBS_PER_PROCESS_MAX):
        javascript.prepare()
        write_frame(_CONVERSATION, READY, told)
        told = b""
        job = read_frame(_CONVERSATION, bytes_max=_JOB_BYTES_MAX)
        document = read_frame(_CONVERSATION, bytes_max=DOCUMENT_BYTES_MAX)
        if job is None or document is None:
            return
        _answer(_outcome(javascript, programs, json.loads(job[1]), document[1].decode(), base_bytes))
        javascript.forget()
        if address_space.bytes_now() - base_bytes > GROWTH_BYTES_MAX:
            return


def _outcome(
    javascript: JavaScript, programs: JqPrograms, job: dict[str, Any], document: str, base_bytes: int
) -> Outcome:
    try:
        allow(time_limit_ms=job["time_limit_ms"], memory_bytes=job["memory_bytes"], base_bytes=base_bytes)
        if job["language"] == "jq":
            if job["check"]:
                return programs.check(job["source"])
            return programs.run(job["source"], document, now_ms=job["now_ms"])
        bounds = {"time_limit_ms": job["time_limit_ms"], "memory_bytes": job["memory_bytes"]}
        if job["check"]:
            return javascript.check(job["source"], form=job["form"], **bounds)
        return javascript.run(
            job["source"], document, form=job["form"], seed=job["seed"], now_ms=job["now_ms"], **bounds
        )
    except MemoryError:
        return Failure(MEMORY, f"the script needed more than the {job['memory_bytes']} bytes of memory it may have")
    except Exception as error:  # noqa: BLE001  # whatever a library raises, the server hears of it
        return Failure(CRASHED, f"{type(error).__name__}: {error}"[:500])


def _answer(outcome: Outcome) -> None:
    if isinstance(outcome, Failure):
        write_frame(_CONVERSATION, FAILURE, json.dumps(outcome._asdict()).encode())
    else:
        write_frame(_CONVERSATION, VALUE, outcome.text)


def _warm_up(javascript: JavaScript, programs: JqPrograms) -> None:
    """Run each engine once, so that nothing of it is loaded or allocated for the first time in confinement."""
    javascript.prepare()
    bounds = {"time_limit_ms": 5_000, "memory_bytes": 64 * 1024 * 1024}
    javascript.run("$ => 1", "null", form="completion", seed=1, now_ms=0, **bounds)
    javascript.prepare()
    javascript.run("throw new Error()", "null", form="completion", seed=1, now_ms=0, **bounds)
    programs.run('[., now, localtime] | test("a")?', "0", now_ms=0)
    programs.run("error", '"x"', now_ms=0)


def _be_killed_first() -> None:
    """Ask the kernel to end this process before the server when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main(int(sys.argv[1]))
