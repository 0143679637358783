"""A server with a pool of scripts, to be killed by a test.

Prints the ids of its script processes as a JSON list once they run, one of them with an endless script, and waits to be
killed. Must not close the pool.
"""

import asyncio
import json
import sys

import psutil

from streams.scripts.pool import ScriptPool, ScriptSettings
from tests.streams.scripts.running import js


async def main() -> None:
    """Run until killed."""
    async with ScriptPool(ScriptSettings(processes=2, spares=1)) as pool, asyncio.TaskGroup() as group:
        await pool.describe()
        group.create_task(pool.run(js("while (true);", time_limit_ms=10_000)))
        while len(psutil.Process().children()) < 3:
            # Each answer takes a turn of the loop, in which another process may get ready.
            await pool.run(js("1"))
        sys.stdout.write(json.dumps([child.pid for child in psutil.Process().children()]) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
