"""A running server, as the commands speak to it.

Holds one blocking client. Must not know commands. Keeps the invariant that whatever goes wrong is said in one
sentence that names the server and what to do.

It stands on the standard library: a client of the kind that the server itself uses would double the time of a
short command.
"""

import base64
import http.client
import os
from typing import Final
from urllib.parse import urlsplit

import orjson

from api.cli.failures import CalledWrongly, CommandFailed, ServerUnreachable
from engine.json_value import JsonObject, JsonValue

ANSWER_SECONDS_MAX: Final = 30.0
"""For one answer; above the ten seconds that the server waits for a decision."""

_PORTS: Final = {"http": 80, "https": 443}


class Server:
    """The server at one address."""

    def __init__(self, url: str) -> None:
        """Remember the address, with or without `/api` at its end; nothing is sent yet.

        Raises:
            CalledWrongly: it is not an http address.
        """
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in _PORTS or not parts.hostname:
            message = f"--server must be an address like http://127.0.0.1:8080, but is {url!r}"
            raise CalledWrongly(message)
        try:
            self._port = parts.port or _PORTS[parts.scheme]
        except ValueError:
            message = f"--server must have a port between 1 and 65535, but is {url!r}"
            raise CalledWrongly(message) from None
        self._scheme = parts.scheme
        self._host = parts.hostname
        self._root = parts.path.rstrip("/").removesuffix("/api")
        self.url = url

    def json(self, method: str, path: str, body: JsonValue = None) -> JsonObject:
        """Return the object that a route answers.

        Raises:
            CommandFailed: the server refused, or does not speak as Podium does.
            ServerUnreachable: nobody answers there.
        """
        answer = self.text(method, path, body)
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            message = (
                f"{self.url} answered {method} {path} with something else than a JSON object: is it a Podium server?"
            )
            raise CommandFailed(message)
        return found

    def text(self, method: str, path: str, body: JsonValue = None) -> str:
        """Return the text that a route answers.

        Raises:
            CommandFailed: the server refused.
            ServerUnreachable: nobody answers there.
        """
        kind = http.client.HTTPSConnection if self._scheme == "https" else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request(
                method,
                self._root + path,
                body=None if body is None else orjson.dumps(body),
                headers={"Accept": "*/*", "Content-Type": "application/json", **_credential()},
            )
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            message = (
                f"no server answers at {self.url} ({error!r}). "
                "Start one with `podium serve`, or name another with --server or PODIUM_SERVER"
            )
            raise ServerUnreachable(message) from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise CommandFailed(_refusal(content, response.status))
        return content.decode(errors="replace")


def _credential() -> dict[str, str]:
    """Return the header that proves who asks, if the environment holds a key: `PODIUM_KEY=ID:SECRET`."""
    key = os.environ.get("PODIUM_KEY")
    return {"Authorization": f"Basic {base64.b64encode(key.encode()).decode()}"} if key else {}


def _refusal(content: bytes, status: int) -> str:
    """Return the server's own words, with every broken rule."""
    try:
        error = orjson.loads(content)
        lines = [str(error["message"])]
        lines += [f"  {broken['path']}: {broken['message']}" for broken in error.get("validationErrors", ())]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        lines = [content.decode(errors="replace")[:500] or "no reason given"]
    return f"the server refused ({status}): " + "\n".join(lines)
