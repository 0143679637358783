"""Claims about the description that a server gives of itself. On a real node."""

import re

import orjson

from api.routes.document import _PAGE
from streams.asyncapi import yaml_of
from tests.api.described import described
from tests.api.rest_client import Rest


async def test_server_describes_itself_as_the_documentation_does(rest: Rest) -> None:
    """For generators of clients, which look where Conductor has it."""
    assert await rest.json("GET", "/api-docs") == described()


async def test_server_describes_itself_as_yaml(rest: Rest) -> None:
    """The same document."""
    response = await rest.call("GET", "/api-docs.yaml")
    assert response.content_type == "application/yaml"
    assert await response.text() == yaml_of(orjson.loads(orjson.dumps(described())))


async def test_page_may_run_its_own_script_and_load_from_its_own_server_only(rest: Rest) -> None:
    """By a policy that knows the script and the style by their hashes: nothing that is shown can run."""
    response = await rest.call("GET", "/swagger-ui/index.html")
    policy = response.headers["Content-Security-Policy"]
    assert response.status == 200
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_page_has_no_outside_resource_and_no_inline_handler() -> None:
    """The policy would refuse them, and the page would stand half."""
    page = _PAGE.read_text(encoding="utf-8")
    assert re.findall(r"(?:https?:)?//[a-z]", re.sub(r"^\s*// .*$", "", page, flags=re.MULTILINE)) == []
    assert re.findall(r"<[^>]+\s(?:on\w+|style|src)=", page) == []
    assert "innerHTML" not in page
