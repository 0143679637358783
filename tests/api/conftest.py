"""A real server for the tests of the REST interface: the embedded node, served on a free port of loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.app import build_app
from streams.node import open_node
from streams.settings import NodeSettings
from tests.api.rest_client import Rest


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    """A server with an empty log."""
    settings = NodeSettings(data_dir=tmp_path / "data", url="http://127.0.0.1:0")
    async with open_node(settings) as node:
        await node.wait_up()
        async with TestClient(TestServer(build_app(node))) as client:
            yield Rest(client, node)
