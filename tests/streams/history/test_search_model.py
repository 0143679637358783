"""Claims about the search as a whole: whatever is asked, it finds what a plain reading of the question finds.

Each test fills one store with workflows that lived at random and asks many random questions.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from streams.history import HistorySettings, HistoryStore
from tests.streams.history.model import Document, QueryMaker, document
from tests.streams.history.projecting import memory_log, projected, wait_written
from tests.streams.history.recorded import Crowd, RecordedPartition


def lived(seed: int, steps: int) -> tuple[RecordedPartition, list[Document]]:
    """Return a log of random lives and the documents that they are."""
    recorded = RecordedPartition()
    crowd = Crowd(recorded, seed=seed)
    crowd.live(steps)
    first_starts = crowd.first_starts
    documents: list[Document] = [
        {**document(recorded.state(name)), "firstStart": first_starts[name]} for name in crowd.ids
    ]
    return recorded, documents


def ids_of(hits: Sequence[Document]) -> list[str]:
    """Return which workflows were found."""
    return [str(hit["workflowId"]) for hit in hits]


@pytest.mark.parametrize(
    ("seed", "queries"),
    [
        (11, 250),
        pytest.param(12, 2_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
async def test_random_queries_find_what_the_model_finds(tmp_path: Path, seed: int, queries: int) -> None:
    """Random questions, with free text, order and pages, have exactly the answers of the model."""
    recorded, documents = lived(seed, steps=1_500)
    maker = QueryMaker(documents, seed=seed)
    settings = HistorySettings(directory=tmp_path)
    async with memory_log(recorded.new_records()) as log, HistoryStore(settings) as store:
        async with projected(log, store, settings) as projector:
            await wait_written(projector, 0, len(recorded.records))
        answered = 0
        for number in range(queries):
            query, meaning = maker.flat_query() if number % 4 == 0 else maker.query()
            free_text, text_meaning = maker.free_text() if number % 3 == 0 else ("*", lambda _: True)
            sort, ordered = maker.sort()
            wanted = ordered([seen for seen in documents if meaning(seen) and text_meaning(seen)])
            start, size = number % 7, (number * 13) % 40
            page = await store.search(query=query, free_text=free_text, start=start, size=size, sort=sort)

            assert page.total == len(wanted), (query, free_text)
            assert ids_of(page.hits) == ids_of(wanted[start : start + size]), (query, free_text, sort)
            answered += bool(wanted)

        assert answered > queries // 3, "the questions are too strict to prove anything"


async def test_pages_neither_repeat_nor_lose_a_row(tmp_path: Path) -> None:
    """All pages of a search, one after the other, are the whole of it, also where every sort key is equal."""
    recorded, documents = lived(seed=21, steps=600)
    settings = HistorySettings(directory=tmp_path)
    async with memory_log(recorded.new_records()) as log, HistoryStore(settings) as store:
        async with projected(log, store, settings) as projector:
            await wait_written(projector, 0, len(recorded.records))
        for sort in ("", "status:ASC", "priority:DESC|workflowType:ASC", "correlationId:ASC"):
            found: list[str] = []
            while True:
                page = await store.search(query="", free_text="*", start=len(found), size=17, sort=sort)
                assert page.total == len(documents)
                if not page.hits:
                    break
                found += ids_of(page.hits)

            assert sorted(found) == sorted(ids_of(documents)), sort
