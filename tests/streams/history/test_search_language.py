"""Claims about the search language: what is understood, what is refused, and that no word of a user becomes SQL."""

import asyncio
import re
from pathlib import Path

import pytest

from streams.history import HistorySettings, HistoryStore, SearchTooCostly
from streams.history.clients import open_clients
from streams.history.search.condition import Bindings, condition_sql
from streams.history.search.fields import TASKS_SEARCHED, WORKFLOWS
from streams.history.search.lexer import QUERY_CHARS_MAX
from streams.history.search.pages import task_query, workflow_by_task_query, workflow_query
from streams.history.search.parser import CONDITIONS_MAX, DEPTH_MAX, parse
from streams.history.search.summaries import iso_time
from streams.history.search.syntax import AllOf, AnyOf, Compare, Missing, Not
from streams.service import QueryInvalid
from tests.streams.history.projecting import all_rows, memory_log, projected, wait_written
from tests.streams.history.recorded import Crowd, RecordedPartition

UNDERSTOOD = [
    "workflowType IN (a)",
    "workflowType IN (a, 'b c', \"d\")",
    'workflowId="wf-1"',
    "status IN (RUNNING,FAILED) AND startTime>1790000000000 AND startTime<1790000000001",
    "startTime > 2026-09-21T12:00:00Z",
    "startTime BETWEEN '2026-09-21' AND '2026-09-22T01:02:03.456+02:00'",
    "correlationId IS NULL or endTime is not null",
    "NOT (status = COMPLETED OR status = 'FAILED')",
    "status NOT IN (RUNNING)",
    "reasonForIncompletion STARTS_WITH 'Task'",
    "priority >= 3 AND version != 2.5",
    "input = '*video*'",
    "((((status=RUNNING))))",
    "workflowType=order:*",
    'classifier IN (agent) AND parentWorkflowId=""',
]

REFUSED = [
    ("status", "position 7: expected =, !=, <, <=, >, >=, IN, BETWEEN, IS or STARTS_WITH, found the end of the query"),
    ("status =", "position 9: expected a value (text in quotes, a word or a number), found the end of the query"),
    ("= RUNNING", "position 1: expected a field, NOT or (, found '='"),
    ("status = RUNNING FAILED", "position 18: expected AND, OR or the end of the query, found 'FAILED'"),
    (
        "status = AND",
        "position 10: expected a value (text in quotes, a word or a number), found 'AND'; a value that is a",
    ),
    ("(status = RUNNING", "position 18: expected AND, OR or ), found the end of the query"),
    ("status = RUNNING)", "position 17: expected AND, OR or the end of the query, found ')'"),
    ("status IN RUNNING", "position 11: expected ( and a list of values, found 'RUNNING'"),
    ("status IN ()", "position 12: expected a value"),
    ("status IN (a b)", "position 14: expected , or ), found 'b'"),
    ("status = 'RUNNING", "position 10: expected a closing ' for the text that begins here, found the end"),
    ("startTime BETWEEN 1 2", "position 21: expected AND and the upper bound, found '2'"),
    ("status IS RUNNING", "position 11: expected NULL or NOT NULL, found 'RUNNING'"),
    ("status NOT RUNNING", "position 12: expected IN, found 'RUNNING'"),
    ("state = RUNNING", "position 1: expected one of the fields"),
    ("a=1 OR nonsense='x'", "position 1: expected one of the fields"),
    ("startTime > yesterday", "position 13: startTime is compared with epoch milliseconds or an ISO 8601 time; found"),
    ("priority > high", "position 12: priority is compared with a number; found 'high'"),
    ("priority = 99999999999999999999", "position 12: priority is compared with a number of at most 19 digits"),
    ("priority = nan", "position 12: priority is compared with"),
    ("startTime STARTS_WITH 1", "position 23: startTime is a time (epoch milliseconds or ISO 8601) and has no"),
    ("startTime = 1*", "position 13: startTime is compared with"),
    ("startTime = --5", "position 13: startTime is compared with"),
]

INJECTIONS = [
    "x' OR '1'='1",
    "x\\' OR 1=1 --",
    "'; DROP TABLE workflow_executions; --",
    "{p0:String}",
    "{p1:Identifier}",
    "%(p0)s %s %d",
    "$$ heredoc $$",
    "\\N",
    "\x00\x01\t\r\n\b",
    "`workflow_id`",
    "/* */ UNION ALL SELECT 1",
    "' INTO OUTFILE '/tmp/x' --",
    "100%_\\%\\_",
    "🎬 \u2018quotes\u2019 \u2028",
]


@pytest.mark.parametrize("query", UNDERSTOOD)
def test_what_clients_and_people_write_is_understood(query: str) -> None:
    """The clauses of Conductor's UIs, and the grammar beyond them, make a condition."""
    assert workflow_query(query=query, free_text="*", start=0, size=10, sort="").where != "1 = 1"


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_a_refusal_names_the_place_and_what_was_expected(query: str, message: str) -> None:
    """Whatever cannot be understood is answered with where, what was expected there, and what was found."""
    with pytest.raises(QueryInvalid, match=f"^{re.escape(message)}"):
        workflow_query(query=query, free_text="*", start=0, size=10, sort="")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 5001}, "size: expected 0 to 5000, found 5001"),
        ({"size": -1}, "size: expected 0 to 5000"),
        ({"start": -1}, "start: expected 0 or more"),
        ({"sort": "startTime:UP"}, "sort, position 11: expected ASC or DESC, found 'UP'"),
        ({"sort": "startTime:DESC|nonsense"}, "sort, position 16: expected one of the fields"),
        ({"sort": "startTime; DROP TABLE x"}, "sort, position 1: expected one of the fields"),
        ({"free_text": "a " * 30}, "free text: expected at most 20 words"),
        ({"query": "x" * (QUERY_CHARS_MAX + 1)}, "the query has 100001 characters"),
        ({"query": "NOT " * (DEPTH_MAX + 2) + "status=A"}, "position 205: expected at most 50 levels"),
        (
            {"query": " AND ".join(["status=A"] * (CONDITIONS_MAX + 1))},
            "position 6501: expected at most 500 conditions",
        ),
    ],
)
def test_what_is_beyond_its_bound_is_refused(arguments: dict[str, str | int], message: str) -> None:
    """Size, start, order, words, length, depth and number of conditions are bounded."""
    given = {"query": "", "free_text": "*", "start": 0, "size": 10, "sort": "", **arguments}
    with pytest.raises(QueryInvalid, match=f"^{re.escape(message)}"):
        workflow_query(**given)  # type: ignore[arg-type]  # a table of arguments


def test_and_binds_closer_than_or() -> None:
    """`a OR b AND c` means `a OR (b AND c)`; brackets say otherwise."""
    tree = parse("status=A OR status=B AND status=C")
    assert isinstance(tree, AnyOf)
    assert isinstance(tree.terms[1], AllOf)
    bracketed = parse("(status=A OR status=B) AND status=C")
    assert isinstance(bracketed, AllOf)
    assert isinstance(bracketed.terms[0], AnyOf)


def test_words_of_the_grammar_have_no_case() -> None:
    """`is not null` is `IS NOT NULL`; names of fields and values are as they are written."""
    tree = parse("endTime is NOT null")
    assert isinstance(tree, Not)
    assert isinstance(tree.term, Missing)
    compared = parse("status = completed")
    assert isinstance(compared, Compare)
    assert compared.value.text == "completed"


def test_a_backslash_makes_a_star_a_star() -> None:
    r"""`\*` in quotes is the character, `*` is anything."""
    tree = parse(r"input = 'a\*b*c\\'")
    assert isinstance(tree, Compare)
    assert tree.value.pieces == ("a*b", "c\\")


@pytest.mark.parametrize("text", INJECTIONS)
def test_values_are_bound_and_never_part_of_the_sql(text: str) -> None:
    """The SQL is the same whatever the value says: it stands among the bound values, whole."""
    quoted = re.sub(r"([\\'\"*])", r"\\\1", text)
    for searched in (WORKFLOWS, TASKS_SEARCHED):
        for shape in ("status = '{}'", "status IN ('{}')", "status STARTS_WITH '{}'", "status < '{}'"):
            bindings = Bindings()
            tree = parse(shape.format(quoted))
            assert tree is not None
            harmless = parse(shape.format("x"))
            assert harmless is not None
            assert condition_sql(tree, searched, bindings) == condition_sql(harmless, searched, Bindings())
            assert bindings.values["p0"] in (text, [text])


async def test_hostile_values_are_found_as_what_they_are(tmp_path: Path) -> None:
    """Stored and searched for, each hostile text finds its own workflow and no other; the tables are as they were."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=60)
    for number, text in enumerate(INJECTIONS):
        crowd.start_with(correlation_id=text, workflow_id=f"hostile-{number}")
    settings = HistorySettings(directory=tmp_path)
    async with memory_log(recorded.new_records()) as log, HistoryStore(settings) as store:
        async with projected(log, store, settings) as projector:
            await wait_written(projector, 0, len(recorded.records))
        for number, text in enumerate(INJECTIONS):
            quoted = re.sub(r"([\\'\"*])", r"\\\1", text)
            middle = quoted[:-1] if not quoted.endswith(("\\\\", "\\'", "\\*")) else quoted
            for query in (
                f"correlationId = '{quoted}'",
                f"correlationId IN ('{quoted}')",
                f"correlationId = '{middle}*'",
                f"correlationId STARTS_WITH '{quoted}'",
                f"correlationId BETWEEN '{quoted}' AND '{quoted}'",
            ):
                page = await store.search(query=query, free_text="", start=0, size=10, sort="")
                assert [hit["workflowId"] for hit in page.hits] == [f"hostile-{number}"], query
            page = await store.search(
                query="", free_text=f'"{text}"'.replace('""', '"'), start=0, size=50, sort="correlationId"
            )
            assert page.total >= 1 or '"' in text, text

        assert await all_rows(store, "SELECT count() FROM workflow_executions FINAL") == [(len(INJECTIONS),)]


async def test_a_search_that_needs_too_much_is_stopped(tmp_path: Path) -> None:
    """A search at its limit of memory is refused with advice, and the next one is answered."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=61)
    for number in range(60):
        crowd.start_with(workflow_id=f"large-{number}", input={"text": f"{number}" * 100_000})
    settings = HistorySettings(directory=tmp_path, search_bytes_max=2_000_000)
    async with memory_log(recorded.new_records()) as log, HistoryStore(settings) as store:
        async with projected(log, store, settings) as projector:
            await wait_written(projector, 0, len(recorded.records))
        with pytest.raises(SearchTooCostly, match="narrow it by time"):
            await store.search(query="", free_text="needle", start=0, size=10, sort="input:ASC")
        page = await store.search(query="workflowId = 'large-7'", free_text="", start=0, size=0, sort="")

        assert page.total == 1


async def test_a_search_runs_under_its_limits(tmp_path: Path) -> None:
    """The connection of searches has the limits of the settings; the others have none."""
    settings = HistorySettings(directory=tmp_path, search_ms_max=2_500, search_bytes_max=123_456_789)
    question = "SELECT getSetting('max_execution_time'), getSetting('max_memory_usage')"
    clients = await asyncio.to_thread(open_clients, settings)
    try:
        assert [float(value) for value in clients.searches.rows(question)[0]] == [2.5, 123_456_789]
        assert clients.lookups.rows(question) == clients.writes.rows(question) != clients.searches.rows(question)
    finally:
        clients.close()


def test_a_task_query_has_the_fields_of_tasks() -> None:
    """Fields of attempts are known to task queries, those of workflows only to workflow queries."""
    assert task_query(query="taskDefName=a AND workerId=w", free_text="", start=0, size=1, sort="").where
    with pytest.raises(QueryInvalid):
        workflow_query(query="taskDefName=a", free_text="", start=0, size=1, sort="")
    by_task = workflow_by_task_query(query="taskType=a", free_text="", start=0, size=1, sort="endTime:DESC")
    assert by_task.order.startswith("ended_at DESC")


def test_times_are_spelt_as_conductor_spells_them() -> None:
    """ISO 8601 in UTC with milliseconds, also for a whole second."""
    assert iso_time(1_790_000_000_000) == "2026-09-21T14:13:20.000Z"
    assert iso_time(1_790_000_000_007) == "2026-09-21T14:13:20.007Z"
