"""A JSON object of which a part is put together only when somebody asks for it.

Holds the type only. Must not know what it stands for. Keeps the invariant that whoever takes all of it gets a plain
object: `whole`.
"""

from collections.abc import Callable

from engine.json_value import JsonObject, JsonValue


class LateObject(dict[str, JsonValue]):
    """An object with some keys at hand; the keys that are numerals come from `rest`, at the first question."""

    __slots__ = ("_rest", "_taken")

    def __init__(self, at_hand: JsonObject, rest: Callable[[], JsonObject]) -> None:
        """Begin with what is at hand."""
        super().__init__(at_hand)
        self._rest = rest
        self._taken = False

    def whole(self) -> JsonObject:
        """Return all of it."""
        self._take()
        return dict(self)

    def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """Return the value of a key."""
        if key.isdigit():
            self._take()
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str) and key.isdigit():
            self._take()
        return super().__contains__(key)

    def __getitem__(self, key: str) -> JsonValue:
        if key.isdigit():
            self._take()
        return super().__getitem__(key)

    def _take(self) -> None:
        if not self._taken:
            self._taken = True
            self.update(self._rest())
