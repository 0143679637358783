"""References whose values the engine never sees: `${workflow.secrets.…}` and `${workflow.env.…}`.

Holds where in a task's input they stand, and how the input is made whole. Must not know a value: whoever hands the
task out does. Keeps the invariant that only what the definition itself says is replaced, never a text that came in as
data and looks alike.

Source: Conductor's `ParametersUtils.substituteSecrets`, which replaces whatever looks like a reference.
"""

from collections.abc import Callable, Sequence

import msgspec

from engine.json_value import JsonObject, JsonValue


class Deferral(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A text of an input that is made whole at hand-off.

    `at` leads to it: keys and list positions. Of `parts`, every second one (the second, the fourth …) is the path of a
    reference; the others are text. A text that is one reference becomes its value, whatever that is.
    """

    at: tuple[str | int, ...]
    parts: tuple[str, ...]


def made_whole(
    task_input: JsonObject,
    deferred: Sequence[Deferral],
    value_of: Callable[[str], JsonValue],
    written: Callable[[JsonValue], str],
) -> JsonObject:
    """Return the input with the values in place. The one that was given stays as it is; what is not touched is shared.

    `value_of` returns the value of a reference's path, `written` how a value reads within text.
    """
    whole: JsonObject = dict(task_input)
    copied: dict[tuple[str | int, ...], JsonValue] = {(): whole}
    for deferral in deferred:
        parent: JsonValue = whole
        for length in range(1, len(deferral.at)):
            place = deferral.at[:length]
            if place not in copied:
                inner = parent[place[-1]]
                copied[place] = parent[place[-1]] = dict(inner) if isinstance(inner, dict) else list(inner)
            parent = copied[place]
        parent[deferral.at[-1]] = _text(deferral.parts, value_of, written)
    return whole


def _text(
    parts: tuple[str, ...], value_of: Callable[[str], JsonValue], written: Callable[[JsonValue], str]
) -> JsonValue:
    values = [value_of(part) if number % 2 else part for number, part in enumerate(parts)]
    if len(values) == 3 and not values[0] and not values[2]:  # noqa: PLR2004 - one reference, and no text around it
        return values[1]
    return "".join(value if isinstance(value, str) else written(value) for value in values)
