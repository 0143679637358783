"""A pool, and jobs for it, as the tests of this folder want them.

Holds short ways to write a job and to read its result. Must not hide a failure: what is not a value fails the test with
the message for the author.
"""

from engine.json_value import JsonValue
from streams.scripts.jobs import FailureKind, Form, Language, ScriptFailure, ScriptJob, ScriptValue
from streams.scripts.pool import ScriptPool, ScriptSettings

NOW_MS = 1_700_000_000_123
ONE_PROCESS = ScriptSettings(processes=1, spares=1)


def js(
    source: str,
    document: JsonValue = None,
    *,
    form: Form = Form.COMPLETION,
    time_limit_ms: int = 5_000,
    seed: str = "",
    memory_bytes: int = 64 * 1024 * 1024,
) -> ScriptJob:
    """Return a job of JavaScript, with a limit that no machine is too slow for."""
    return ScriptJob(
        language=Language.JAVASCRIPT,
        source=source,
        document=document,
        form=form,
        now_ms=NOW_MS,
        seed=seed,
        time_limit_ms=time_limit_ms,
        memory_bytes=memory_bytes,
    )


def jq(source: str, document: JsonValue = None, *, time_limit_ms: int = 5_000) -> ScriptJob:
    """Return a job of jq, likewise."""
    return ScriptJob(language=Language.JQ, source=source, document=document, now_ms=NOW_MS, time_limit_ms=time_limit_ms)


async def value_of(pool: ScriptPool, job: ScriptJob) -> JsonValue:
    """Run a job that gives a value."""
    result = await pool.run(job)
    assert isinstance(result, ScriptValue), result
    return result.value


async def failure_of(pool: ScriptPool, job: ScriptJob) -> ScriptFailure:
    """Run a job that fails."""
    result = await pool.run(job)
    assert isinstance(result, ScriptFailure), result
    return result


async def kind_of(pool: ScriptPool, job: ScriptJob) -> FailureKind:
    """Run a job that fails; return how."""
    return (await failure_of(pool, job)).kind
