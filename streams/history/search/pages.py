"""Running a search: one page of it, and the exact number of all hits.

Holds the shape of the query; each call blocks and belongs in the lane of its client. Must not know the language.
Keeps wide columns out of the sorting: the page's keys are found first, and only their rows are read whole.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from engine.json_value import JsonObject
from streams.history.clients import StoreClient, StoreRefused
from streams.history.errors import SearchTooCostly
from streams.history.search.condition import Bindings, condition_sql
from streams.history.search.fields import TASKS_SEARCHED, WORKFLOWS, Searched
from streams.history.search.freetext import free_text_sql
from streams.history.search.parser import parse
from streams.history.search.sorting import order_sql
from streams.history.search.summaries import TASK_SELECT, WORKFLOW_SELECT, task_summary, workflow_summary
from streams.service import QueryInvalid, SearchPage

PAGE_ROWS_MAX: Final = 5_000
"""Source: Conductor's limit of `size`."""
START_MAX: Final = (1 << 63) - 1

# TIMEOUT_EXCEEDED, TOO_SLOW, TOO_MANY_ROWS, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES, MEMORY_LIMIT_EXCEEDED
_COSTLY_CODES: Final = frozenset({159, 160, 158, 307, 396, 241})


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A search that has been understood: ready to run, made of constants and bound values."""

    searched: Searched
    where: str
    order: str
    bindings: dict[str, Any]
    start: int
    size: int


def workflow_query(*, query: str, free_text: str, start: int, size: int, sort: str) -> PageQuery:
    """Return a search for workflows.

    Raises:
        QueryInvalid: something in it cannot be understood; says where.
    """
    return _page_query(WORKFLOWS, query=query, free_text=free_text, start=start, size=size, sort=sort)


def task_query(*, query: str, free_text: str, start: int, size: int, sort: str) -> PageQuery:
    """Return a search for attempts of tasks.

    Raises:
        QueryInvalid: something in it cannot be understood; says where.
    """
    return _page_query(TASKS_SEARCHED, query=query, free_text=free_text, start=start, size=size, sort=sort)


def workflow_by_task_query(*, query: str, free_text: str, start: int, size: int, sort: str) -> PageQuery:
    """Return a search for the workflows of the attempts that a task query finds; `sort` names fields of workflows.

    Raises:
        QueryInvalid: something in it cannot be understood; says where.
    """
    inner = task_query(query=query, free_text=free_text, start=start, size=size, sort="")
    return PageQuery(
        searched=WORKFLOWS,
        where=(
            "(created_at, workflow_id) IN (SELECT created_at, workflow_id "  # noqa: S608 (constants and placeholders)
            f"FROM {inner.searched.table} FINAL WHERE {inner.where})"
        ),
        order=order_sql(sort, WORKFLOWS),
        bindings=inner.bindings,
        start=start,
        size=size,
    )


def read_page(client: StoreClient, page: PageQuery) -> SearchPage:
    """Run a search.

    Raises:
        SearchTooCostly: it was stopped at its limit of time or memory.
        HistoryUnavailable: the store cannot answer.
    """
    select, render = _RENDERINGS[page.searched.table]
    table = page.searched.table
    key = ", ".join(page.searched.key)
    try:
        # What is put together here are constants of this package and placeholders of bound values.
        hits: Sequence[Sequence[Any]] = ()
        if page.size:
            hits = client.rows(
                f"SELECT {', '.join(select)} FROM {table} FINAL WHERE ({key}) IN ("  # noqa: S608 (see above)
                f"SELECT {key} FROM {table} FINAL WHERE {page.where} ORDER BY {page.order} "
                f"LIMIT {page.size} OFFSET {page.start}) ORDER BY {page.order}",
                page.bindings,
            )
        if page.size > len(hits) and (hits or page.start == 0):
            # The last page tells the number of all.
            total = page.start + len(hits)
        else:
            counted = client.rows(
                f"SELECT count() FROM {table} FINAL WHERE {page.where}",  # noqa: S608 (see above)
                page.bindings,
            )
            total = int(counted[0][0])
    except StoreRefused as refused:
        if refused.engine_code in _COSTLY_CODES:
            raise SearchTooCostly(
                f"the search was stopped at its limit of time or memory; narrow it by time, type or status ({refused})"
            ) from refused
        raise
    return SearchPage(total=total, hits=[render(row) for row in hits])


def _page_query(searched: Searched, *, query: str, free_text: str, start: int, size: int, sort: str) -> PageQuery:
    if not 0 <= size <= PAGE_ROWS_MAX:
        raise QueryInvalid(f"size: expected 0 to {PAGE_ROWS_MAX}, found {size}")
    if not 0 <= start <= START_MAX:
        raise QueryInvalid(f"start: expected 0 or more, found {start}")
    bindings = Bindings()
    conditions: list[str] = []
    tree = parse(query)
    if tree is not None:
        conditions.append(condition_sql(tree, searched, bindings))
    text = free_text_sql(free_text, searched, bindings)
    if text is not None:
        conditions.append(text)
    return PageQuery(
        searched=searched,
        where=" AND ".join(conditions) or "1 = 1",
        order=order_sql(sort, searched),
        bindings=bindings.values,
        start=start,
        size=size,
    )


_RENDERINGS: Final[dict[str, tuple[tuple[str, ...], Callable[[Sequence[Any]], JsonObject]]]] = {
    WORKFLOWS.table: (WORKFLOW_SELECT, workflow_summary),
    TASKS_SEARCHED.table: (TASK_SELECT, task_summary),
}
