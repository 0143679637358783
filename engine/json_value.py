"""The names under which JSON crosses the engine.

Holds two aliases, the only place of the engine where `Any` is spelt. JSON payloads are read-only by agreement:
whoever needs another value builds a new one.
"""

from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
"""None, bool, int, float, str, list or dict of JSON values."""

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object. Never changed in place."""
