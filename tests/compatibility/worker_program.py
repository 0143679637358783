"""The program of a user of the Python SDK: import the workers, run them until told to stop.

Must not be imported: it is started as `python -m tests.compatibility.worker_program` with the server's address in
`CONDUCTOR_SERVER_URL`, as the SDK's own documentation has it. Keeps the invariant that its processes end with it.
"""

import signal
import sys

from conductor.client.automator.task_handler import TaskHandler
from conductor.client.configuration.configuration import Configuration


def main() -> None:
    """Run the workers until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    workers = ["tests.compatibility.sdk_workers"]
    with TaskHandler(configuration=Configuration(), import_modules=workers) as handler:
        handler.start_processes()
        handler.join_processes()


if __name__ == "__main__":  # each worker is a process that imports this file anew
    main()
