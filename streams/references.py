"""What the engine never sees: secrets and the environment, put into a task's input when it is handed out.

Holds where the values come from and the one place that puts them in. Must not keep an input that was made whole, nor
write a value into a log line or a record. Keeps the invariant that whatever is not declared (a file, a prefix, a name)
is not found, whatever a definition asks for.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Final, Protocol
from urllib.parse import quote, quote_plus

import msgspec

from engine.deferral import Deferral, made_whole
from engine.expressions.budget import ResolutionExceeded
from engine.expressions.documents import ValueLookup
from engine.expressions.references import deferred_name, value_at, written
from engine.json_value import JsonObject, JsonValue

DEFERRED_INPUT: Final = "deferredInput"
"""The field of a task's JSON, on its way to whoever hands it out, that says where the values belong."""
SECRET_BYTES_MAX: Final = 256 * 1024
MASK: Final = "***"
_MASKED_CHARS_MIN: Final = 4
"""A shorter secret is found in too much that has nothing to do with it."""
_BEGINNING_CHARS: Final = 8
"""Of a secret: where these stand in a message, the rest may have been cut off."""
_PLAIN_IN_URLS: Final = "/?!$&'()*+,;=:@"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}")


class ReferenceUnresolved(Exception):
    """A value that a task needs is not there. The message names it, never what was found."""


class SecretSource(Protocol):
    """Where secrets come from."""

    def find(self, name: str) -> str | None:
        """Return a secret as it is now, or None if there is none of that name.

        Raises:
            ReferenceUnresolved: it is there, but cannot be read.
        """
        ...


class DirectorySecrets:
    """One file per secret, as Kubernetes and Docker mount them. A line break at the end is not part of it.

    Files are read at each hand-off, so a secret that is exchanged is used from then on.
    """

    def __init__(self, folder: FilePath) -> None:
        """Read from a folder."""
        self._folder = folder

    def find(self, name: str) -> str | None:
        """See `SecretSource`."""
        if _NAME.fullmatch(name) is None:
            return None  # nothing outside of the folder, whatever a definition asks for
        try:
            with (self._folder / name).open("rb") as file:
                content = file.read(SECRET_BYTES_MAX + 1)
            if len(content) > SECRET_BYTES_MAX:
                raise ReferenceUnresolved(f"the secret {name!r} is larger than {SECRET_BYTES_MAX} bytes")
            text = content.decode()
        except (FileNotFoundError, IsADirectoryError):
            return None
        except UnicodeDecodeError:
            raise ReferenceUnresolved(f"the secret {name!r} is no text in UTF-8") from None
        except OSError as error:
            raise ReferenceUnresolved(f"the secret {name!r} cannot be read: {error.strerror}") from None
        return text.removesuffix("\n").removesuffix("\r")


class EnvironmentSecrets:
    """The environment variables with a prefix, as they were when the process began."""

    def __init__(self, prefix: str, environment: Mapping[str, str]) -> None:
        """Keep what begins with `prefix`."""
        self._values = {
            name.removeprefix(prefix): value for name, value in environment.items() if name.startswith(prefix)
        }

    def find(self, name: str) -> str | None:
        """See `SecretSource`."""
        return self._values.get(name)


class MadeWhole(msgspec.Struct, frozen=True, kw_only=True):
    """An input with its values, and the secrets among them. It lives no longer than the hand-off."""

    input: JsonObject
    secrets: tuple[str, ...] = ()

    def masked(self, value: JsonValue) -> JsonValue:
        """Return what a message or an output says, without the secrets that were handed out."""
        if not self.secrets:
            return value
        if isinstance(value, str):
            return _masked_text(value, self.secrets)
        if isinstance(value, dict):
            return {key: self.masked(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.masked(inner) for inner in value]
        return value


class ReferenceValues:
    """The values of `${workflow.secrets.…}` and `${workflow.env.…}` that this process knows."""

    def __init__(self, secrets: Sequence[SecretSource] = (), environment: Mapping[str, str] | None = None) -> None:
        """Look for secrets in each source in turn; `environment` holds the variables that may be named, no others."""
        self._secrets = tuple(secrets)
        self._environment = dict(environment or {})

    def made_whole(self, task_input: JsonObject, deferred: Sequence[Deferral]) -> MadeWhole:
        """Return an input with the values that it only names.

        Raises:
            ReferenceUnresolved: one of them is not known here.
        """
        if not deferred:
            return MadeWhole(input=task_input)
        revealed: list[str] = []

        def value_of(path: str) -> JsonValue:
            kind, name = deferred_name(path)
            value = self._value(kind, name, path)
            if kind == "secrets":
                revealed.extend(_texts(value))
            return value

        return MadeWhole(input=made_whole(task_input, deferred, value_of, written), secrets=tuple(revealed))

    def complete(self, task_json: JsonObject) -> JsonObject:
        """Return a task's JSON for the worker that takes it: its input whole, and what its definition lists.

        Raises:
            ReferenceUnresolved: a value is not known here.
        """
        declared = task_json.get("workflowTask", _NOTHING).get("taskDefinition", _NOTHING).get("runtimeMetadata")
        if not declared and DEFERRED_INPUT not in task_json:
            return task_json
        complete = dict(task_json)
        try:
            deferred = msgspec.convert(complete.pop(DEFERRED_INPUT, ()), tuple[Deferral, ...])
            complete["inputData"] = self.made_whole(complete.get("inputData", _NOTHING), deferred).input
        except (msgspec.ValidationError, LookupError, TypeError, ValueError) as error:
            raise ReferenceUnresolved(f"{DEFERRED_INPUT} does not fit the input: {type(error).__name__}") from None
        if declared:
            complete["runtimeMetadata"] = {name: self._raw("secrets", name) for name in declared}
        return complete

    def _value(self, kind: str, name: str, path: str) -> JsonValue:
        raw = self._raw(kind, name)
        try:
            if _ends_with_name(path, name):
                return raw
            content = msgspec.json.decode(raw)
            value = value_at(path, ValueLookup({"workflow": {kind: {name: content}}}))
        except (msgspec.DecodeError, RecursionError):
            raise ReferenceUnresolved(f"${{{path}}} leads into {_WHAT[kind]} {name!r}, which is no JSON") from None
        except ResolutionExceeded as error:
            raise ReferenceUnresolved(f"${{{path}}} cannot be read: {error}") from None
        if value is None:
            raise ReferenceUnresolved(f"${{{path}}} leads to nothing in {_WHAT[kind]} {name!r}")
        return value

    def _raw(self, kind: str, name: str) -> str:
        if kind == "env":
            found = self._environment.get(name)
        else:
            found = next((value for source in self._secrets if (value := source.find(name)) is not None), None)
        if found is None:
            raise ReferenceUnresolved(f"{_WHAT[kind]} {name!r} is not known to the server: {_REMEDY[kind]}")
        return found


def deferred_json(deferred: Sequence[Deferral]) -> JsonValue:
    """Return where values belong, as it stands in `DEFERRED_INPUT`."""
    return msgspec.to_builtins(deferred)


_NOTHING: Final[JsonObject] = {}
_WHAT: Final = {"env": "the environment variable", "secrets": "the secret"}
_REMEDY: Final = {
    "env": "name it with --env-name, and set it where the server runs",
    "secrets": "put a file of that name into --secrets-dir, or set it with the prefix of --secret-env-prefix",
}


def _ends_with_name(path: str, name: str) -> bool:
    """Tell whether a path names a whole value, not a part of it."""
    return bool(value_at(path, ValueLookup({"workflow": {"env": {name: name}, "secrets": {name: name}}})) == name)


def _texts(value: JsonValue) -> list[str]:
    """Return the texts in a value: each is as secret as all of it."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [written(value)] if isinstance(value, str | int | float) and not isinstance(value, bool) else []


def _masked_text(text: str, secrets: Sequence[str]) -> str:
    """Return a text without the secrets, however they are spelt in it: quoted, encoded for a URL, cut off."""
    for secret in secrets:
        if len(secret) < _MASKED_CHARS_MIN:
            continue
        spelt = {secret, repr(secret)[1:-1], _as_json(secret), quote_plus(secret)}
        spelt.update(quote(secret, safe=safe) for safe in ("", "/", _PLAIN_IN_URLS))
        for form in sorted(spelt, key=len, reverse=True):
            text = _without(text, form)
    return text


def _as_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def _without(text: str, secret: str) -> str:
    """Replace a secret, and beginnings of it that are long enough not to be there by chance."""
    beginning = secret[:_BEGINNING_CHARS]
    pieces: list[str] = []
    position = 0
    while (found := text.find(beginning, position)) >= 0:
        length = len(beginning)
        while length < len(secret) and text.startswith(secret[length], found + length):
            length += 1
        pieces.extend((text[position:found], MASK))
        position = found + length
    return "".join((*pieces, text[position:]))
