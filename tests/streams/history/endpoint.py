"""A ClickHouse HTTP endpoint over the engine in a process: `python -m tests.streams.history.endpoint DIRECTORY PORT`.

Speaks as much of the protocol as the client needs, so that the way to a server is tested on the real engine where no
server can be installed. Must not be used for anything else: it has no users, no limits and no replication. Each
request has a handle of its own.
"""

import sys
import tempfile

import chdb
import lz4.frame  # type: ignore[import-untyped]  # it ships no types
from aiohttp import web

ROW_FORMAT = b"FORMAT Native"
NOT_SETTINGS = {
    "query",
    "database",
    "default_format",
    "session_id",
    "session_timeout",
    "client_protocol_version",
    "compress",
    "decompress",
    "enable_http_compression",
    "wait_end_of_query",
    "buffer_size",
    "query_id",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
}
DIRECTORY = web.AppKey("directory", str)


async def ping(request: web.Request) -> web.Response:
    """Answer that somebody is there."""
    return web.Response(text="Ok.\n")


async def query(request: web.Request) -> web.Response:
    """Run a query or an insert."""
    body = await request.read()
    if request.headers.get("Content-Encoding") == "lz4":
        body = lz4.frame.decompress(body)
    values: dict[str, str] = dict(request.query)
    if request.content_type == "multipart/form-data":
        message = "this endpoint takes no forms"
        raise web.HTTPNotImplemented(text=message)
    statement = values.get("query", "").encode()
    statement = statement + b"\n" + body if statement else body
    handle = chdb.connect(request.app[DIRECTORY])  # type: ignore[no-untyped-call]  # the engine is typed in part
    try:
        return _answer(handle, statement, values)
    except RuntimeError as error:
        text = str(error)
        code = text.partition("Code: ")[2].partition(".")[0]
        return web.Response(status=500, text=text, headers={"X-ClickHouse-Exception-Code": code or "1"})
    finally:
        handle.close()


def main() -> None:
    """Serve a directory on a port of loopback."""
    app = web.Application(client_max_size=1 << 30)
    app[DIRECTORY] = sys.argv[1]
    app.router.add_get("/ping", ping)
    app.router.add_post("/", query)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None)


def _answer(handle: "chdb.Connection", statement: bytes, values: dict[str, str]) -> web.Response:
    if values.get("database"):
        handle.query(f"USE {values['database']}", "TabSeparated")
    for name, value in values.items():
        if name not in NOT_SETTINGS and not name.startswith("param_"):
            handle.query(f"SET {name} = '{value}'", "TabSeparated")
    parameters = {name[6:]: value for name, value in values.items() if name.startswith("param_")}
    found = values.get("default_format", "TabSeparated")
    head, mark, rows = statement.partition(ROW_FORMAT + b"\n")
    if mark and head.lstrip().upper().startswith(b"INSERT"):
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(rows)
            file.flush()
            sql = f"{head.decode()} FROM INFILE '{file.name}' FORMAT Native"
            handle.query(sql, "TabSeparated")
        return web.Response(headers={"X-ClickHouse-Timezone": "UTC"})
    text = statement.decode()
    if text.rstrip().endswith("FORMAT Native"):
        found = "Native"
    result = handle.query(text, found, params=parameters)
    return web.Response(body=result.bytes(), headers={"X-ClickHouse-Format": found, "X-ClickHouse-Timezone": "UTC"})


if __name__ == "__main__":
    main()
