"""The search as one reads it in the documentation: over plain dictionaries, without SQL.

Holds the meaning of every comparison and a generator of random queries that carry their own meaning. Must not share
code with the search. Keeps the rule that what is missing equals nothing: text is then empty, a time is 0 and neither
before nor after another.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from engine.model import WorkflowState

Document = Mapping[str, Any]
Meaning = Callable[[Document], bool]

TEXT_FIELDS = (
    "workflowId",
    "workflowType",
    "correlationId",
    "status",
    "input",
    "output",
    "reasonForIncompletion",
    "failedReferenceTaskNames",
    "failedTaskNames",
    "createdBy",
    "taskToDomain",
    "idempotencyKey",
    "parentWorkflowId",
    "event",
    "classifier",
)
TIME_FIELDS = ("startTime", "updateTime", "endTime")
NUMBER_FIELDS = ("version", "priority", "executionTime", "inputSize", "outputSize")
FREE_TEXT_FIELDS = ("workflowId", "workflowType", "correlationId", "reasonForIncompletion", "input", "output")


def document(state: WorkflowState) -> Document:
    """Return a workflow as the search sees it. Times are epoch milliseconds."""
    started = state.started
    texts = {
        "input": msgspec.json.encode(started.input).decode(),
        "output": msgspec.json.encode(state.output).decode(),
    }
    return {
        "workflowId": started.workflow_id,
        "workflowType": started.name,
        "version": started.version,
        "correlationId": started.correlation_id,
        "startTime": state.created_at_ms,
        "updateTime": state.updated_at_ms,
        "endTime": state.ended_at_ms,
        "status": state.status.value,
        **texts,
        "inputSize": len(texts["input"]),
        "outputSize": len(texts["output"]),
        "reasonForIncompletion": state.reason,
        "executionTime": state.ended_at_ms - state.created_at_ms if state.ended_at_ms else 0,
        "event": started.trigger,
        "failedReferenceTaskNames": ",".join(state.failed_refs),
        "failedTaskNames": ",".join(state.failed_names),
        "priority": started.priority,
        "createdBy": started.created_by,
        "taskToDomain": msgspec.json.encode(started.task_to_domain).decode(),
        "idempotencyKey": started.idempotency_key,
        "parentWorkflowId": started.parent.workflow_id if started.parent else "",
        "classifier": "",
    }


class QueryMaker:
    """Makes random queries over documents, each with what it means."""

    def __init__(self, documents: Sequence[Document], *, seed: int) -> None:
        self._documents = documents
        self._random = random.Random(seed)

    def query(self, *, depth: int = 3) -> tuple[str, Meaning]:
        """Return a query and its meaning."""
        chance = self._random
        roll = chance.random()
        if depth == 0 or roll < 0.35:
            return self._condition()
        if roll < 0.45:
            text, meaning = self.query(depth=depth - 1)
            return f"NOT ({text})", lambda seen: not meaning(seen)
        terms = [self.query(depth=depth - 1) for _ in range(chance.randint(2, 3))]
        meanings = [meaning for _, meaning in terms]
        if roll < 0.7:
            joined = self._keyword(" AND ").join(f"({text})" for text, _ in terms)
            return joined, lambda seen: all(meaning(seen) for meaning in meanings)
        joined = self._keyword(" OR ").join(f"({text})" for text, _ in terms)
        return joined, lambda seen: any(meaning(seen) for meaning in meanings)

    def flat_query(self) -> tuple[str, Meaning]:
        """Return a query without brackets, so that its meaning rests on AND binding closer than OR."""
        groups = [[self._condition() for _ in range(self._random.randint(1, 3))] for _ in range(3)]
        text = " OR ".join(" AND ".join(part for part, _ in group) for group in groups)
        meanings = [[meaning for _, meaning in group] for group in groups]
        return text, lambda seen: any(all(meaning(seen) for meaning in group) for group in meanings)

    def free_text(self) -> tuple[str, Meaning]:
        """Return a free text and its meaning."""
        chance = self._random
        if chance.random() < 0.3:
            return chance.choice(("*", "", "  ")), lambda _: True
        words = [self._part_of(self._some(chance.choice(FREE_TEXT_FIELDS))) for _ in range(chance.randint(1, 2))]
        words = [word.replace('"', "").replace("*", "") for word in words]
        words = [word for word in words if word.strip()]
        text = " ".join(f'"{word.upper() if word.isascii() else word}"' for word in words)

        def meaning(seen: Document) -> bool:
            found = [str(seen[field]).lower() for field in FREE_TEXT_FIELDS]
            return all(any(word.lower() in value for value in found) for word in words)

        return text, meaning

    def sort(self) -> tuple[str, Callable[[Sequence[Document]], list[Document]]]:
        """Return a sort parameter and how it orders documents."""
        chance = self._random
        keys = [
            (chance.choice(TEXT_FIELDS + TIME_FIELDS + NUMBER_FIELDS), chance.choice(("ASC", "DESC", "asc")))
            for _ in range(chance.randint(1, 3))
        ]

        def ordered(documents: Sequence[Document]) -> list[Document]:
            found = sorted(documents, key=lambda seen: (seen["firstStart"], seen["workflowId"]))
            for name, direction in reversed(keys):
                found.sort(key=lambda seen: _ordinal(seen[name]), reverse=direction == "DESC")
            return found

        return "|".join(f"{name}:{direction}" for name, direction in keys), ordered

    def _condition(self) -> tuple[str, Meaning]:
        chance = self._random
        roll = chance.random()
        if roll < 0.6:
            return self._text_condition(chance.choice(TEXT_FIELDS))
        if roll < 0.8:
            return self._time_condition(chance.choice(TIME_FIELDS))
        return self._number_condition(chance.choice(NUMBER_FIELDS))

    def _text_condition(self, field: str) -> tuple[str, Meaning]:
        chance = self._random
        value = self._some(field)
        match chance.randrange(7):
            case 0:
                return f"{field} = {_quoted(value)}", lambda seen: seen[field] == value
            case 1:
                return f"{field}!={_quoted(value)}", lambda seen: seen[field] != value
            case 2:
                return self._wildcard(field, value)
            case 3:
                values = [value, self._some(field), "nothing"]
                listed = ", ".join(_quoted(item) for item in values)
                return f"{field} IN ({listed})", lambda seen: seen[field] in values
            case 4:
                start = value[: chance.randint(0, 6)]
                return f"{field} STARTS_WITH {_quoted(start)}", lambda seen: seen[field].startswith(start)
            case 5:
                return f"{field} {self._keyword('IS NOT NULL')}", lambda seen: seen[field] != ""
            case _:
                return self._ordered(field, _quoted(value), value, _ordinal, optional=False)

    def _wildcard(self, field: str, value: str) -> tuple[str, Meaning]:
        chance = self._random
        pieces = [self._part_of(value), self._part_of(value)] if chance.random() < 0.5 else [self._part_of(value)]
        pieces = chance.choice((["", *pieces, ""], [*pieces, ""], ["", *pieces]))
        pattern = re.compile(".*".join(re.escape(piece) for piece in pieces), re.DOTALL)
        text = "*".join(_escaped(piece) for piece in pieces)
        if chance.random() < 0.3:
            return f"{field} != '{text}'", lambda seen: pattern.fullmatch(seen[field]) is None
        return f"{field}='{text}'", lambda seen: pattern.fullmatch(seen[field]) is not None

    def _time_condition(self, field: str) -> tuple[str, Meaning]:
        chance = self._random
        optional = field == "endTime"
        value = self._some_number(field) + chance.choice((-1, 0, 0, 1))
        if chance.random() < 0.15:
            negated = chance.random() < 0.5
            text = f"{field} IS {'NOT ' if negated else ''}NULL"
            return text, lambda seen: (seen[field] == 0) is not negated
        if chance.random() < 0.2:
            values = [value, self._some_number(field)]
            return f"{field} in ({values[0]},'{values[1]}')", lambda seen: seen[field] in values
        return self._ordered(field, self._spelt_time(value), value, lambda at: at, optional=optional)

    def _number_condition(self, field: str) -> tuple[str, Meaning]:
        value: float = self._some_number(field)
        if self._random.random() < 0.2:
            value += 0.5
        return self._ordered(field, str(value), value, lambda number: number, optional=False)

    def _ordered(
        self, field: str, spelt: str, value: object, ordinal: Callable[[Any], Any], *, optional: bool
    ) -> tuple[str, Meaning]:
        chance = self._random
        wanted = ordinal(value)

        def has_come(seen: Document) -> bool:
            return not optional or seen[field] != 0

        match chance.randrange(7):
            case 0:
                return f"{field} < {spelt}", lambda seen: has_come(seen) and ordinal(seen[field]) < wanted
            case 1:
                return f"{field} <= {spelt}", lambda seen: has_come(seen) and ordinal(seen[field]) <= wanted
            case 2:
                return f"{field} > {spelt}", lambda seen: has_come(seen) and ordinal(seen[field]) > wanted
            case 3:
                return f"{field}>={spelt}", lambda seen: has_come(seen) and ordinal(seen[field]) >= wanted
            case 4:
                return f"{field} = {spelt}", lambda seen: bool(ordinal(seen[field]) == wanted)
            case 5:
                return f"{field} <> {spelt}", lambda seen: bool(ordinal(seen[field]) != wanted)
            case _:
                between = self._keyword("BETWEEN")
                return (
                    f"{field} {between} {spelt} AND {spelt}",
                    lambda seen: has_come(seen) and bool(ordinal(seen[field]) == wanted),
                )

    def _some(self, field: str) -> str:
        return str(self._random.choice(self._documents)[field])

    def _some_number(self, field: str) -> int:
        return int(self._random.choice(self._documents)[field])

    def _part_of(self, value: str) -> str:
        start = self._random.randint(0, len(value))
        return value[start : start + self._random.randint(0, 8)]

    def _spelt_time(self, at_ms: int) -> str:
        if self._random.random() < 0.5:
            return str(at_ms)
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
        return f"'{instant.isoformat(timespec='milliseconds')}'"

    def _keyword(self, word: str) -> str:
        return word.lower() if self._random.random() < 0.2 else word


def _ordinal(value: Any) -> Any:  # noqa: ANN401 (text or a number)
    return value.encode() if isinstance(value, str) else value


def _quoted(value: str) -> str:
    return f"'{_escaped(value)}'"


def _escaped(value: str) -> str:
    return re.sub(r"([\\'\"*])", r"\\\1", value)
