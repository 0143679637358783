"""What an INLINE task costs: a simple expression in the engine, real JavaScript in the sandbox.

Holds the two measurements. Must not include the start of the sandbox's processes. Keeps the invariant that what is
computed is checked.
"""

import asyncio
import time

import msgspec

from benchmarks.definitions import computed
from benchmarks.figures import latency_figures
from benchmarks.micro.material import spare_the_collector
from benchmarks.results import BenchmarkFailed, Result
from engine.commands import StartWorkflow
from engine.context import DecideContext
from engine.decider import decide
from engine.definitions import WorkflowDef
from engine.graph import Graphs
from engine.ids import WorkflowId
from engine.rejections import Accepted
from engine.testing import Shelf
from streams.scripts.jobs import Language, ScriptJob, ScriptValue
from streams.scripts.pool import ScriptPool

SIMPLE = "$.number > 1 && $.number + 2 == 9 ? 'yes' : 'no'"
REAL = "[1, 2, 3].map(n => n * $.number).join('-')"
WARM_UP = 20


def run_simple_inline(*, workflows: int = 3_000) -> Result:
    """Decide about starts of workflows with one INLINE task: what is left of the whole decision is the task's."""
    shelf = Shelf()
    shelf.add(msgspec.convert(computed(SIMPLE), WorkflowDef))
    graphs = Graphs(shelf)
    context = DecideContext(now_ms=1_700_000_000_000, definitions=shelf)
    spare_the_collector()
    begun = time.process_time()
    for number in range(workflows):
        command = StartWorkflow(workflow_id=WorkflowId(f"w{number}"), name="bench_computed", input={"number": 7})
        decision = decide(None, command, context, graphs)
        if not isinstance(decision, Accepted) or not decision.state.is_terminal:
            message = f"a workflow of one simple INLINE task should be over at once, but: {decision}"
            raise BenchmarkFailed(message)
    seconds = time.process_time() - begun
    figures = {"workflows": workflows, "cpu_ms_per_workflow": 1000 * seconds / workflows}
    return Result(case="INLINE, simple expression", figures=figures)


def run_real_inline(*, scripts: int = 500) -> Result:
    """Run a script of real JavaScript again and again, one at a time."""
    return asyncio.run(_run_scripts(scripts))


async def _run_scripts(scripts: int) -> Result:
    latencies_ms: list[float] = []
    job = ScriptJob(
        language=Language.JAVASCRIPT, source=REAL, document={"number": 7}, now_ms=1_700_000_000_000, seed="bench~1/0"
    )
    async with ScriptPool() as pool:
        for number in range(scripts + WARM_UP):
            begun = time.perf_counter()
            result = await pool.run(job)
            if not isinstance(result, ScriptValue) or result.value != "7-14-21":
                message = f"the script should give 7-14-21, but: {result}"
                raise BenchmarkFailed(message)
            if number >= WARM_UP:
                latencies_ms.append(1000 * (time.perf_counter() - begun))
    return Result(case="INLINE, real JavaScript", figures=latency_figures("", latencies_ms))
