"""`${…}` in definitions: replaces references by the values that they name.

Holds the template language and its evaluation over a `Lookup`. Must not know what a workflow is: the lookup
does. Keeps the invariant that `resolve` raises for no template or value but those that are too much work, and gives
the very same object back when there is nothing to replace.

The rules: a text that is one expression becomes the value itself, null when there is none; within other text
a value is written out (null as `null`, objects and lists as compact JSON); a blank expression is the empty
text; `$${x}` stands for the text `${x}`; inner expressions are replaced first. Keys are never replaced. A
text without an end to its `${` is just text. References to secrets and to the environment stay as they are written:
`deferrals_of` says where they stand.

Source: Conductor's `ParametersUtils`; JSON instead of Java's notation for objects within text is a deliberate
difference.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from engine.deferral import Deferral
from engine.expressions.budget import TEXT_CHARS_MAX, ResolutionExceeded
from engine.expressions.documents import MISSING, Lookup
from engine.expressions.evaluation import evaluate
from engine.expressions.paths import Path, parse_path
from engine.expressions.queries import Query, first_names
from engine.expressions.query_syntax import PathInvalid
from engine.json_value import JsonObject, JsonValue
from engine.late import LateObject

NESTING_MAX: Final = 16
"""Of expressions in one another. Nobody reads more; evaluation is recursive."""
_CACHED_TEMPLATES: Final = 8_192
_CACHED_CHARS_MAX: Final = 4_096
"""Longer texts are parsed each time: parsing is one pass, and the cache must stay small."""

DEFERRED: Final = frozenset({"env", "secrets"})
"""What of `workflow` the engine never sees."""

_MARK: Final = re.compile(r"\$\$\{|\$\{|\{|\}|\[|\]|'|\"|\\")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An expression with a plain path that is known beforehand."""

    source: str
    path: Path


class QueryReference(msgspec.Struct, frozen=True, kw_only=True):
    """An expression with a path that is more than plain."""

    source: str
    query: Query


class DeferredReference(msgspec.Struct, frozen=True, kw_only=True):
    """An expression whose value only whoever hands the task out knows."""

    source: str
    path: str


class NestedReference(msgspec.Struct, frozen=True, kw_only=True):
    """An expression whose path is itself a template: its parts joined spell the path."""

    source: str
    parts: "tuple[Part, ...]"


class Blank(msgspec.Struct, frozen=True, kw_only=True):
    """`${}`: the empty text."""

    source: str


class InvalidReference(msgspec.Struct, frozen=True, kw_only=True):
    """An expression that cannot be read: null at run time, a violation at registration."""

    source: str
    problem: str


Expression: TypeAlias = Reference | QueryReference | DeferredReference | NestedReference | Blank | InvalidReference
Part: TypeAlias = str | Expression


def resolve(template: JsonValue, lookup: Lookup) -> JsonValue:
    """Return `template` with the expressions in its texts replaced; `template` itself if it holds none.

    Raises:
        ResolutionExceeded: its expressions are too much work, or give too much.
    """
    if isinstance(template, str):
        return _evaluate_text(template, lookup) if "${" in template else template
    if isinstance(template, dict):
        return _resolve_object(template, lookup)
    if isinstance(template, list):
        return _resolve_list(template, lookup)
    return template


def has_expression(template: JsonValue) -> bool:
    """Tell whether `resolve` could change anything in a template."""
    return any(True for _ in _texts_of(template))


def expressions_of(template: JsonValue) -> Iterator[Expression]:
    """Yield every expression of a template, outer ones before those nested in them."""
    for text in _texts_of(template):
        pending = list(reversed(_parts_of(text)))
        while pending:
            part = pending.pop()
            if isinstance(part, str):
                continue
            yield part
            if isinstance(part, NestedReference):
                pending.extend(reversed(part.parts))


def deferrals_of(template: JsonObject, lookup: Lookup) -> tuple[Deferral, ...]:
    """Return where the references of a template stand whose values the engine does not know, in document order.

    Raises:
        ResolutionExceeded: as `resolve` does.
    """
    found: list[Deferral] = []
    waiting: list[tuple[tuple[str | int, ...], JsonValue]] = [((), template)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, str) and "${" in value:
            parts = _parts_of(value)
            if any(isinstance(part, DeferredReference) for part in parts):
                found.append(Deferral(at=at, parts=_alternating(parts, lookup)))
        elif isinstance(value, dict):
            waiting.extend(((*at, key), inner) for key, inner in reversed(value.items()))
        elif isinstance(value, list):
            waiting.extend(((*at, position), value[position]) for position in reversed(range(len(value))))
    return tuple(found)


def deferred_name(path: str) -> tuple[str, str]:
    """Return what a deferred reference's path names: `env` or `secrets`, and the name in it."""
    parsed = parse_path(path)
    names = parsed.steps if isinstance(parsed, Path) else next(first_names(parsed))[1:]
    return str(names[0]), str(names[1])


def value_at(path: str, lookup: Lookup) -> JsonValue:
    """Return what a path leads to, null if nothing.

    Raises:
        ResolutionExceeded: it is too much work.
    """
    parsed = parse_path(path)
    return _follow(parsed, lookup) if isinstance(parsed, Path) else evaluate(parsed, lookup)


def written(value: JsonValue) -> str:
    """Return how a value reads within other text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _alternating(parts: "tuple[Part, ...]", lookup: Lookup) -> tuple[str, ...]:
    """Return text and paths of deferred references in turn."""
    alternating = [""]
    for part in parts:
        if isinstance(part, DeferredReference):
            alternating.extend((part.path, ""))
        else:
            alternating[-1] += part if isinstance(part, str) else written(_evaluate(part, lookup))
    return tuple(alternating)


def _resolve_object(template: JsonObject, lookup: Lookup) -> JsonObject:
    changed: JsonObject | None = None
    for key, value in template.items():
        resolved = resolve(value, lookup)
        if resolved is not value:
            if changed is None:
                changed = dict(template)
            changed[key] = resolved
    return template if changed is None else changed


def _resolve_list(template: list[JsonValue], lookup: Lookup) -> list[JsonValue]:
    changed: list[JsonValue] | None = None
    for index, value in enumerate(template):
        resolved = resolve(value, lookup)
        if resolved is not value:
            if changed is None:
                changed = list(template)
            changed[index] = resolved
    return template if changed is None else changed


def _evaluate_text(text: str, lookup: Lookup) -> JsonValue:
    parts = _parts_of(text)
    if len(parts) == 1:
        part = parts[0]
        return part if isinstance(part, str) else _evaluate(part, lookup)
    return _joined(parts, lookup)


def _evaluate(expression: Expression, lookup: Lookup) -> JsonValue:
    match expression:
        case Reference():
            return _follow(expression.path, lookup)
        case QueryReference():
            return evaluate(expression.query, lookup)
        case DeferredReference():
            lookup.note_deferred()
            return expression.source
        case NestedReference():
            try:
                return value_at(_joined(expression.parts, lookup), lookup)
            except PathInvalid:
                return None
        case Blank():
            return ""
        case InvalidReference():
            return None


def _follow(path: Path, lookup: Lookup) -> JsonValue:
    value = lookup.root(path.root)
    if value is MISSING:
        return None
    for step in path.steps:
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        else:
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
            value = value[step]
    if isinstance(value, LateObject):
        return value.whole()
    return value if path.steps else _without_late_objects(value)


def _without_late_objects(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        return value
    return {key: item.whole() if isinstance(item, LateObject) else item for key, item in value.items()}


def _joined(parts: tuple[Part, ...], lookup: Lookup) -> str:
    texts = [part if isinstance(part, str) else written(_evaluate(part, lookup)) for part in parts]
    if sum(map(len, texts)) > TEXT_CHARS_MAX:
        raise ResolutionExceeded(f"the expressions within one text give more than {TEXT_CHARS_MAX} characters")
    return "".join(texts)


def _texts_of(template: JsonValue) -> Iterator[str]:
    """Yield the texts that hold a `${`, in document order."""
    pending: list[JsonValue] = [template]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            if "${" in value:
                yield value
        elif isinstance(value, dict):
            pending.extend(reversed(value.values()))
        elif isinstance(value, list):
            pending.extend(reversed(value))


def _parts_of(text: str) -> tuple[Part, ...]:
    return _parse_cached(text) if len(text) <= _CACHED_CHARS_MAX else _parse(text)


class _Frame:
    """An expression (or the text around all of them) that is being read."""

    __slots__ = ("braces", "brackets", "parts", "quote", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.parts: list[Part] = []
        self.brackets = 0
        self.braces = 0
        self.quote = ""


def _parse(text: str) -> tuple[Part, ...]:
    """Return the parts of a text in one pass; expressions that are never closed go back to being text."""
    frames = [_Frame(0)]
    position = 0
    while found := _MARK.search(text, position):
        frame, mark = frames[-1], found.group()
        frame.parts.append(text[position : found.start()])
        position = found.end()
        if mark == "${":
            frames.append(_Frame(found.start()))
        elif mark == "$${":
            frame.parts.append("${")
        elif len(frames) == 1:
            frame.parts.append(mark)
        elif mark == "}" and not frame.quote and not frame.braces:
            frames.pop()
            frames[-1].parts.append(_expression(text[frame.start : position], frame, depth=len(frames)))
        elif mark == "\\" and (frame.quote or frame.brackets):
            frame.parts.append(text[found.start() : position + 1])
            position += 1
        else:
            _track_quotes(frame, mark)
            frame.parts.append(mark)
    frames[-1].parts.append(text[position:])
    parts = frames[0].parts
    for unclosed in frames[1:]:
        parts.append("${")
        parts.extend(unclosed.parts)
    return _merged(parts)


_parse_cached = lru_cache(maxsize=_CACHED_TEMPLATES)(_parse)


def _track_quotes(frame: _Frame, mark: str) -> None:
    """Follow quotes and braces inside brackets, where a `}` is part of a name, a regular expression or an object."""
    if frame.quote:
        if mark == frame.quote:
            frame.quote = ""
    elif mark == "[":
        frame.brackets += 1
    elif mark == "]":
        frame.brackets = max(0, frame.brackets - 1)
    elif mark in "'\"" and frame.brackets:
        frame.quote = mark
    elif mark == "{" and frame.brackets:
        frame.braces += 1
    elif mark == "}" and frame.braces:
        frame.braces -= 1


def _expression(source: str, frame: _Frame, *, depth: int) -> Expression:
    parts = _merged(frame.parts)
    if depth > NESTING_MAX:
        return InvalidReference(source=source, problem=f"expressions may be nested {NESTING_MAX} deep, not deeper")
    if any(not isinstance(part, str) for part in parts):
        return NestedReference(source=source, parts=parts)
    path = "".join(part for part in parts if isinstance(part, str))
    if not path.strip():
        return Blank(source=source)
    try:
        parsed = parse_path(path)
    except PathInvalid as error:
        return InvalidReference(source=source, problem=str(error))
    if isinstance(parsed, Path):
        if parsed.root == "workflow" and parsed.steps and parsed.steps[0] in DEFERRED:
            return _deferred(source, path, parsed.steps[1:])
        return Reference(source=source, path=parsed)
    begins = list(first_names(parsed))
    if any(names[:1] == ("workflow",) and names[1:2] and names[1] in DEFERRED for names in begins):
        outer, inner = begins[0], begins[1:]
        if inner or outer[0] != "workflow":
            problem = "a path may lead into a secret or the environment, but not compare with one"
            return InvalidReference(source=source, problem=problem)
        return _deferred(source, path, outer[2:])
    return QueryReference(source=source, query=parsed)


def _deferred(source: str, path: str, steps: "tuple[str | int, ...]") -> Expression:
    if not steps or not isinstance(steps[0], str):
        problem = "expected a name, as in ${workflow.secrets.API_KEY} and ${workflow.env.REGION}"
        return InvalidReference(source=source, problem=problem)
    return DeferredReference(source=source, path=path.strip())


def _merged(parts: list[Part]) -> tuple[Part, ...]:
    """Join neighbouring texts and drop empty ones; one empty text stays for an empty template."""
    merged: list[Part] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        if text := "".join(texts):
            merged.append(text)
        texts.clear()
        merged.append(part)
    if (text := "".join(texts)) or not merged:
        merged.append(text)
    return tuple(merged)
