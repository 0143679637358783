"""Claims about the pool of script processes: what scripts mean, what they are told, and how processes come and go."""

import asyncio
import signal

import msgspec
import psutil
import pytest
from structlog.testing import capture_logs

from streams.errors import ScriptsUnavailable
from streams.scripts import limits
from streams.scripts.jobs import FailureKind, Form, Language, ScriptJob, ScriptValue
from streams.scripts.pool import ScriptPool, ScriptSettings
from tests.streams.scripts.running import NOW_MS, ONE_PROCESS, failure_of, jq, js, kind_of, value_of

ENDLESS_NATIVE = "Array.prototype.copyWithin.call({ length: 2 ** 52 }, 0, 1)"
"""Ends only with its process: this loop of the engine does not look at the time."""


def _processes() -> set[int]:
    """Return the process ids of the script processes of this process."""
    return {child.pid for child in psutil.Process().children() if "streams.scripts.child" in " ".join(child.cmdline())}


async def test_script_gives_the_value_of_its_last_statement() -> None:
    """Expressions, statements and functions called at once: whatever a workflow written for Conductor holds."""
    document = {"n": 7, "list": [1, 2, 3]}
    scripts = {
        "$.n > 5 && $.list.length == 3": True,
        "if ($.n > 5) { true; } else { false; }": True,
        "if ($.n > 50) { true; } else { false; }": False,
        "(function () { return $.list.map(x => x * 2); })()": [2, 4, 6],
        "(() => { return { n: $.n }; })()": {"n": 7},
        "function e() { return $.n + 1; } e();": 8,
        "let sum = 0; for (const x of $.list) sum += x; sum": 6,
        "var a = 1; a + 1;": 2,
        "switch ($.n) { case 7: 'seven'; break; default: 'other'; }": "seven",
        "$": document,
    }
    async with ScriptPool(ONE_PROCESS) as pool:
        assert {source: await value_of(pool, js(source, document)) for source in scripts} == scripts


async def test_lambda_gives_what_its_body_returns() -> None:
    """The source is the body of a function; without `return` there is no value."""
    async with ScriptPool(ONE_PROCESS) as pool:
        returned = await value_of(
            pool, js("if ($.n > 5) { return 'big'; } return 'small';", {"n": 7}, form=Form.FUNCTION)
        )
        nothing = await value_of(pool, js("$.n", {"n": 7}, form=Form.FUNCTION))
        outside = await kind_of(pool, js("return 1"))

    assert (returned, nothing, outside) == ("big", None, FailureKind.SYNTAX)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1", 1),
        ("1.0", 1),
        ("0.1 + 0.2", 0.30000000000000004),
        ("2 ** 53", 2**53),
        ("1e21", 1e21),
        ("-0", 0),
        ("NaN", None),
        ("Infinity", None),
        ("undefined", None),
        ("", None),
        ("[undefined, NaN, () => 1]", [None, None, None]),
        ("({ a: undefined, b: null, c: () => 1 })", {"b": None}),
        ("new Date(0)", "1970-01-01T00:00:00.000Z"),
        ("'ä€😀'", "ä€😀"),
        ("'\\u0000'", "\0"),
        ("'x'.repeat(300000) + 'y'.repeat(300000)", "x" * 300_000 + "y" * 300_000),
    ],
)
async def test_values_of_javascript_become_json(source: str, value: object) -> None:
    """Whole numbers are integers, what JSON has no word for is null, text of any kind and length arrives."""
    async with ScriptPool(ONE_PROCESS) as pool:
        found = await value_of(pool, js(source))

    assert found == value
    assert type(found) is type(value)


async def test_document_is_a_copy() -> None:
    """A script that changes its input changes nothing outside, and the next one does not see it."""
    document = {"list": [1]}
    async with ScriptPool(ONE_PROCESS) as pool:
        changed = await value_of(pool, js("$.list.push(2); globalThis.left = 1; Array.prototype.x = 1; $", document))
        after = await value_of(pool, js("[$.list, typeof left, [].x === undefined]", document))

    assert changed == {"list": [1, 2]}
    assert after == [[1], "undefined", True]
    assert document == {"list": [1]}


async def test_jq_gives_all_results_as_a_list() -> None:
    """None, one or many; the same program again comes from the cache and gives the same."""
    document = {"rows": [{"n": 1}, {"n": 2}]}
    programs = {
        ".rows[].n": [1, 2],
        ".rows | length": [2],
        "empty": [],
        ".": [document],
        "[.rows[] | .n * 1.5]": [[1.5, 3]],
    }
    async with ScriptPool(ONE_PROCESS) as pool:
        for _ in range(2):
            assert {source: await value_of(pool, jq(source, document)) for source in programs} == programs


async def test_more_programs_than_are_cached_still_run() -> None:
    """The least recently used one is compiled again."""
    async with ScriptPool(ONE_PROCESS) as pool:
        for _ in range(2):
            for number in range(limits.PROGRAMS_MAX + 5):
                assert await value_of(pool, jq(f". + {number}", 1)) == [number + 1]


async def test_failed_jq_program_does_not_spoil_its_next_run() -> None:
    """A program that raised, or gave too much, begins afresh."""
    source = 'if . > 1 then error("too much") else ., . end'
    async with ScriptPool(ONE_PROCESS) as pool:
        values = [await value_of(pool, jq(source, 1))]
        failed = await failure_of(pool, jq(source, 2))
        too_much = await kind_of(pool, jq("range(.)", 10_000_000))
        values += [await value_of(pool, jq(source, 1)), await value_of(pool, jq("range(.)", 2))]

    assert (failed.kind, failed.message) == (FailureKind.THROWN, "too much")
    assert too_much is FailureKind.RESULT_TOO_LARGE
    assert values == [[1, 1], [1, 1], [0, 1]]


async def test_clock_and_chance_are_the_jobs() -> None:
    """The same job gives the same value on every attempt; another seed or instant gives another."""
    source = "[Date.now(), new Date().toISOString(), Date(), Math.random(), Math.random()]"
    async with ScriptPool() as pool:
        first, again, other = [await value_of(pool, js(source, seed=seed)) for seed in ("task-1", "task-1", "task-2")]
        program = "[now, (now | todate), (0 | localtime | mktime)]"
        times = [await value_of(pool, jq(program)) for _ in range(2)]

    assert first == again
    assert first[:3] == [NOW_MS, "2023-11-14T22:13:20.123Z", "Tue Nov 14 2023 22:13:20 GMT+0000"]
    assert 0 <= first[3] < 1
    assert len({*first[3:], *other[3:]}) == 4
    assert times == [[[NOW_MS / 1_000, "2023-11-14T22:13:20Z", 0]]] * 2


async def test_random_numbers_are_spread_evenly() -> None:
    """Ten thousand numbers fall into ten parts of the unit interval as chance would have it."""
    source = "const c = new Array(10).fill(0); for (let i = 0; i < 10000; i++) c[Math.floor(Math.random() * 10)]++; c"
    async with ScriptPool(ONE_PROCESS) as pool:
        counts = await value_of(pool, js(source, seed="any"))

    assert sum(counts) == 10_000
    assert all(850 < count < 1_150 for count in counts)


@pytest.mark.parametrize(
    ("job", "kind", "line", "words"),
    [
        (js("\n\n$.a.b.c", {"a": 1}), FailureKind.THROWN, 3, "cannot read property 'c' of undefined"),
        (js("function f(x) {\n  return x.y.z;\n}\nf({})"), FailureKind.THROWN, 2, "property 'z'"),
        (js("\nreturn $.a.b", {}, form=Form.FUNCTION), FailureKind.THROWN, 2, "property 'b'"),
        (js("let a = 1;\nlet b = ;"), FailureKind.SYNTAX, 2, "SyntaxError"),
        (js("throw new Error('no such order')"), FailureKind.THROWN, 1, "Error: no such order"),
        (js("throw { code: 7 }"), FailureKind.THROWN, None, '{"code":7}'),
        (jq(".a\n| foo"), FailureKind.SYNTAX, 2, "foo/0 is not defined"),
        (jq(".a\n| env"), FailureKind.FORBIDDEN, 2, "env is not available"),
        (jq(".a.b", {"a": 1}), FailureKind.THROWN, None, "Cannot index number"),
    ],
)
async def test_author_is_told_what_happened_and_where(
    job: ScriptJob, kind: FailureKind, line: int | None, words: str
) -> None:
    """Kind, message and, where the engine knows it, the line."""
    async with ScriptPool(ONE_PROCESS) as pool:
        failure = await failure_of(pool, job)

    assert (failure.kind, failure.line) == (kind, line)
    assert words in failure.message
    assert (f"(line {line})" in str(failure)) == (line is not None)


async def test_syntax_is_checked_without_running() -> None:
    """What would never end, throw or answer is fine as long as it is well-formed."""
    async with ScriptPool(ONE_PROCESS) as pool:
        fine = [
            await pool.check_javascript("while (true);"),
            await pool.check_javascript("throw 1"),
            await pool.check_javascript("'use strict'; let x = 1; x"),
            await pool.check_javascript("return $.a", form=Form.FUNCTION),
            await pool.check_jq("def f: f; f"),
            await pool.check_jq(".env"),
        ]
        wrong = [
            await pool.check_javascript("\nif ("),
            await pool.check_javascript("return 1"),
            await pool.check_javascript("'use strict'; with ($) a"),
            await pool.check_javascript("}", form=Form.FUNCTION),
            await pool.check_jq(".a\n|"),
            await pool.check_jq("$ENV"),
        ]

    assert fine == [None] * 6
    assert all(wrong)
    assert str(wrong[0]).endswith("(line 2)")
    assert "reads the environment" in str(wrong[5])


async def test_source_and_document_above_their_bounds_are_refused() -> None:
    """Before anything is sent, with the size and the bound; what is just within is taken."""
    source = "1 //" + "x" * (limits.SOURCE_BYTES_MAX - 4)
    document = "x" * (limits.DOCUMENT_BYTES_MAX - 2)
    async with ScriptPool(ONE_PROCESS) as pool:
        assert await value_of(pool, js(source)) == 1
        assert await value_of(pool, js("$.length", document)) == limits.DOCUMENT_BYTES_MAX - 2
        long = await failure_of(pool, js(source + "x"))
        large = await failure_of(pool, js("1", document + "x"))

    assert (long.kind, large.kind) == (FailureKind.INPUT_TOO_LARGE, FailureKind.INPUT_TOO_LARGE)
    assert str(limits.SOURCE_BYTES_MAX) in long.message
    assert str(limits.DOCUMENT_BYTES_MAX) in large.message


async def test_results_above_their_bounds_are_refused_and_just_within_are_kept() -> None:
    """Bytes, values and depth each have a bound; commas and brackets in a text are no values."""
    within = {
        f"'x'.repeat({limits.RESULT_BYTES_MAX - 2})": None,
        "'[,{'.repeat(200000)": None,
        f"let d = 1; for (let i = 0; i < {limits.RESULT_DEPTH_MAX}; i++) d = [d]; d": None,
        f"new Array({limits.RESULT_VALUES_MAX} - 1).fill(0)": None,
    }
    above = {
        f"'x'.repeat({limits.RESULT_BYTES_MAX - 1})": FailureKind.RESULT_TOO_LARGE,
        f"let d = 1; for (let i = 0; i <= {limits.RESULT_DEPTH_MAX}; i++) d = [d]; d": FailureKind.NOT_JSON,
        f"new Array({limits.RESULT_VALUES_MAX} + 1).fill(0)": FailureKind.RESULT_TOO_LARGE,
    }
    async with ScriptPool(ONE_PROCESS) as pool:
        for source in within:
            assert isinstance(await pool.run(js(source)), ScriptValue), source
        assert {source: await kind_of(pool, js(source)) for source in above} == above


@pytest.mark.parametrize("document", ["\ud83d", {"a": float("nan")}, {1: 2}, [[[[1]]]], 2**70, 1.5])
async def test_any_document_gives_a_result(document: object) -> None:
    """What JSON cannot hold is a failure with a reason, or null as everywhere in JSON; nothing raises."""
    async with ScriptPool(ONE_PROCESS) as pool:
        for job in (js("1", document), jq("1", document)):
            result = await pool.run(job)
            assert isinstance(result, ScriptValue) or result.kind is FailureKind.NOT_JSON


async def test_deep_document_is_refused_or_taken_but_never_fatal() -> None:
    """From a hundred levels to a hundred thousand, in both languages."""
    async with ScriptPool(ONE_PROCESS) as pool:
        for depth in (100, 900, 100_000):
            document: object = 1
            for _ in range(depth):
                document = [document]
            for job in (js("1", document), jq("1", document)):
                result = await pool.run(job)
                assert isinstance(result, ScriptValue) or result.kind is FailureKind.NOT_JSON


@pytest.mark.parametrize(("name", "value"), [("time_limit_ms", 0), ("time_limit_ms", 10_001), ("memory_bytes", 1)])
def test_limits_of_a_job_have_bounds(name: str, value: int) -> None:
    """A job that could hold a process for ever does not exist."""
    with pytest.raises(ValueError, match=f"{name} of a script should be from"):
        msgspec.structs.replace(ScriptJob(language=Language.JQ, source=".", now_ms=0), **{name: value})


async def test_more_memory_lets_a_script_do_more() -> None:
    """The limit is the job's own, also in a process that had another one before."""
    source = "const all = []; for (let i = 0; i < 30; i++) all.push(new Uint8Array(1e6).fill(1)); all.length"
    async with ScriptPool(ONE_PROCESS) as pool:
        kinds = [await kind_of(pool, js(source, memory_bytes=16 * 1024 * 1024))]
        values = [await value_of(pool, js(source, memory_bytes=64 * 1024 * 1024))]
        kinds.append(await kind_of(pool, js(source, memory_bytes=16 * 1024 * 1024)))

    assert (kinds, values) == ([FailureKind.MEMORY, FailureKind.MEMORY], [30])


async def test_spare_process_takes_the_place_of_a_killed_one() -> None:
    """The script after a killed one does not wait for a process to be started, and the number is made up again."""
    async with ScriptPool(ONE_PROCESS) as pool:
        await pool.describe()
        assert await value_of(pool, js("1")) == 1
        before = _processes()
        killed = await failure_of(pool, js(ENDLESS_NATIVE, time_limit_ms=100))
        next_one = await pool.run(js("1"))
        while len(_processes()) < 2:
            await value_of(pool, js("1"))
        after = _processes()

    assert killed.kind is FailureKind.TIMEOUT
    assert isinstance(next_one, ScriptValue)
    assert len(before & after) == 1


async def test_process_that_somebody_else_kills_while_idle_is_replaced() -> None:
    """As the kernel does when memory runs out: the next script runs in another one."""
    async with ScriptPool(ONE_PROCESS) as pool:
        await value_of(pool, js("1"))
        await _kill_all()
        assert await value_of(pool, js("2")) == 2


async def test_process_that_dies_under_a_script_is_reported_as_crashed() -> None:
    """The author is told how it ended; the next script runs."""
    async with ScriptPool(ONE_PROCESS) as pool, asyncio.TaskGroup() as group:
        await pool.describe()
        crashing = group.create_task(pool.run(js("while (true);")))
        await _turn_taken()
        await _kill_all()
        failure = await crashing
        assert not isinstance(failure, ScriptValue)
        assert failure.kind is FailureKind.CRASHED
        assert f"signal {int(signal.SIGKILL)}" in failure.message
        assert await value_of(pool, js("2")) == 2


async def _turn_taken() -> None:
    """Let the loop turn until a script given just before is in its process. One is idle once the pool is described."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _kill_all() -> None:
    """Kill every script process, and let the loop see that they hung up."""
    processes = [psutil.Process(pid) for pid in _processes()]
    for process in processes:
        process.kill()
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
        await asyncio.sleep(0)
    await _turn_taken()


async def test_queue_that_is_full_refuses_at_once() -> None:
    """One runs, one waits, the third is told to come again; the others are not disturbed."""
    settings = ScriptSettings(processes=1, spares=0, waiting_max=1)
    async with ScriptPool(settings) as pool, asyncio.TaskGroup() as group:
        await pool.describe()
        running = group.create_task(pool.run(js("while (true);", time_limit_ms=300)))
        await _turn_taken()
        waiting = group.create_task(pool.run(js("1")))
        await asyncio.sleep(0)
        with pytest.raises(ScriptsUnavailable, match="1 scripts wait for a turn already"):
            await pool.run(js("2"))

    assert ScriptsUnavailable.retriable
    assert not isinstance(running.result(), ScriptValue)
    assert isinstance(waiting.result(), ScriptValue)


async def test_script_whose_turn_does_not_come_is_given_up() -> None:
    """Nobody waits for ever behind endless scripts."""
    settings = ScriptSettings(processes=1, spares=0, wait_ms_max=50)
    async with ScriptPool(settings) as pool, asyncio.TaskGroup() as group:
        await pool.describe()
        # A script that has its turn is not given up, however long it takes.
        running = group.create_task(pool.run(js("while (true);", time_limit_ms=1_000)))
        await _turn_taken()
        with pytest.raises(ScriptsUnavailable, match="waited 50 ms for a turn"):
            await pool.run(js("1"))

    assert not isinstance(running.result(), ScriptValue)


async def test_caller_that_gives_up_does_not_hold_a_process() -> None:
    """A cancelled caller's script runs to its end unheard; one that had not begun is not begun."""
    async with ScriptPool(ScriptSettings(processes=1, spares=0)) as pool:
        await pool.describe()
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(pool.run(js("while (true);", time_limit_ms=200))) for _ in range(3)]
            await _turn_taken()
            for caller in callers:
                caller.cancel()
        assert all(caller.cancelled() for caller in callers)
        assert await value_of(pool, js("2")) == 2


async def test_closing_ends_every_process_and_tells_who_waits() -> None:
    """No process outlives the pool, whatever it is doing; running and waiting callers hear that it is over."""
    async with ScriptPool(ONE_PROCESS) as pool:
        await pool.describe()
        callers = asyncio.gather(*(pool.run(js("while (true);")) for _ in range(3)), return_exceptions=True)
        await _turn_taken()
        before = _processes()
    told = await callers

    assert before
    assert _processes() == set()
    assert [type(error) for error in told] == [ScriptsUnavailable] * 3


async def test_pool_that_is_closed_at_once_leaves_nothing() -> None:
    """Processes that are just being started are ended too."""
    async with ScriptPool():
        pass
    async with ScriptPool():
        await asyncio.sleep(0)

    assert _processes() == set()


async def test_error_in_the_block_comes_out_as_it_is() -> None:
    """The pool closes and does not wrap it."""

    async def fail() -> None:
        async with ScriptPool(ONE_PROCESS) as pool:
            await value_of(pool, js("1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert _processes() == set()


async def test_many_scripts_at_once_are_all_answered_each_with_its_own() -> None:
    """Five hundred callers, two processes, both languages."""
    async with ScriptPool() as pool:
        values = await asyncio.gather(
            *(value_of(pool, js("$.n", {"n": n}) if n % 2 else jq(".n", {"n": n})) for n in range(500))
        )

    assert values == [n if n % 2 else [n] for n in range(500)]


async def test_protections_are_described() -> None:
    """An operator can ask what this machine offers; what every Linux has is always there."""
    async with ScriptPool(ONE_PROCESS) as pool:
        protections = await pool.describe()

    assert {"ends with the server", "no new privileges", "no new file descriptors"} <= set(protections)


async def test_missing_interpreter_is_logged_and_scripts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes on without scripts, and the log says why."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with capture_logs() as logged:
        async with ScriptPool(ScriptSettings(processes=1, spares=0, wait_ms_max=50)) as pool:
            with pytest.raises(ScriptsUnavailable):
                await pool.run(js("1"))

    assert "script_process_not_started" in {entry["event"] for entry in logged}
