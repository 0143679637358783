"""How much a script may take, and how failures are called.

Holds the numbers and words that both sides of a script process know. Must not import anything that is slow to start.
Keeps the invariant that every bound of a script has a name here.
"""

from typing import Final

SOURCE_BYTES_MAX: Final = 64 * 1024
"""Of one script. Longer ones are programs and belong in a worker."""
DOCUMENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one input as JSON: encoding it holds up the server for 11 ms at most (measured)."""
RESULT_BYTES_MAX: Final = 2 * 1024 * 1024
RESULT_VALUES_MAX: Final = 200_000
"""Values in one result: what it takes in memory goes by values, not bytes."""
RESULT_DEPTH_MAX: Final = 200
"""Lists and objects in one another; below what the JSON libraries of the server can write out again."""
MESSAGE_CHARS_MAX: Final = 2_000
"""Of what an author is told about a failure."""

TIME_LIMIT_MS_DEFAULT: Final = 1_000
TIME_LIMIT_MS_MAX: Final = 10_000
GRACE_MS: Final = 150
"""Between a script's time limit and the end of its process: the time that JavaScript has for stopping by itself."""
MEMORY_BYTES_DEFAULT: Final = 64 * 1024 * 1024
MEMORY_BYTES_MIN: Final = 4 * 1024 * 1024
"""A fresh JavaScript context takes 0.1 MB, jq's own library 1 MB."""
MEMORY_BYTES_MAX: Final = 256 * 1024 * 1024
OVERHEAD_BYTES: Final = 48 * 1024 * 1024
"""Address space of the process above the script's memory: copies of input and result, and the allocator's slack."""
STACK_BYTES: Final = 1024 * 1024
"""For JavaScript calls; the process has 8 MiB."""

PROGRAMS_MAX: Final = 32
"""jq programs that a process keeps compiled: one costs about a millisecond to compile."""
JOBS_PER_PROCESS_MAX: Final = 5_000
"""Then the process is replaced, before fragments of memory add up."""
GROWTH_BYTES_MAX: Final = OVERHEAD_BYTES // 2
"""Address space that a process may keep after a job; with more it is replaced, while a spare one does its work."""

SYNTAX: Final = "SYNTAX"
THROWN: Final = "THROWN"
TIMEOUT: Final = "TIMEOUT"
MEMORY: Final = "MEMORY"
INPUT_TOO_LARGE: Final = "INPUT_TOO_LARGE"
RESULT_TOO_LARGE: Final = "RESULT_TOO_LARGE"
NOT_JSON: Final = "NOT_JSON"
FORBIDDEN: Final = "FORBIDDEN"
CRASHED: Final = "CRASHED"
