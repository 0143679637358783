"""Claims about who is let through: keys, tokens, roles and limits, on a real server that asks for credentials."""

import base64
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import jwt
import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.access.credentials import CredentialGate
from api.access.keys import (
    KeyFile,
    KeyFileInvalid,
    KeyRing,
    new_key,
    new_key_file,
    read_key_file,
    write_key_file,
)
from api.access.permissions import GRANTED, Need, Principal, Role
from api.access.tokens import issue
from api.app import build_app
from api.routes.table import ROUTES
from api.routing import Route, needs_of
from engine.ids import WorkflowId
from engine.json_value import JsonObject, JsonValue
from streams.node import open_node
from streams.settings import NodeSettings
from tests.api.rest_client import Rest, result, simple

NOW_MS = time.time_ns() // 1_000_000
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "access.md"


class Guarded:
    """A server with keys, and the keys."""

    def __init__(self, rest: Rest, ring_path: Path) -> None:
        """Remember where the keys are."""
        self.rest = rest
        self.path = ring_path

    def key(
        self, *roles: Role, workflows: Sequence[str] = ("*",), task_types: Sequence[str] = ("*",)
    ) -> dict[str, str]:
        """Add a key to the file; return the header of its holder."""
        content = read_key_file(self.path)
        key, secret = new_key("-".join(roles), roles, workflows=workflows, task_types=task_types, now_ms=NOW_MS)
        write_key_file(self.path, KeyFile(token_secret=content.token_secret, keys=(*content.keys, key)))
        return basic(key.id, secret)

    async def status(self, method: str, path: str, body: JsonValue = None, **headers: str) -> int:
        """Return the status of an answer."""
        response = await self.rest.call(method, path, body, headers={"Content-Type": "application/json", **headers})
        return response.status

    async def json(self, method: str, path: str, body: JsonValue, headers: dict[str, str]) -> JsonValue:
        """Return an answer that must be 200."""
        response = await self.rest.call(method, path, body, headers={"Content-Type": "application/json", **headers})
        assert response.status == 200, await response.text()
        return orjson.loads(await response.read() or b"{}")


def basic(key_id: str, secret: str) -> dict[str, str]:
    """Return the header of HTTP's own scheme."""
    return {"Authorization": f"Basic {base64.b64encode(f'{key_id}:{secret}'.encode()).decode()}"}


@pytest.fixture
async def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guarded]:
    """A server whose key file is looked at for every request."""
    monkeypatch.setattr("api.access.keys.LOOK_EVERY_S", 0.0)
    path = tmp_path / "keys.json"
    write_key_file(path, new_key_file())
    settings = NodeSettings(data_dir=tmp_path / "data", url="http://127.0.0.1:0")
    async with open_node(settings) as node:
        await node.wait_up()
        app = build_app(node, gate=CredentialGate(keys=KeyRing(path)))
        async with TestClient(TestServer(app)) as client:
            yield Guarded(Rest(client, node), path)


def concrete(route: Route) -> str:
    """Return a path of a route, its parameters filled with what nobody has."""
    path = route.path.replace("{status}", "COMPLETED").replace("{version}", "1")
    return path.replace("{", "x").replace("}", "x")


async def test_every_route_lets_through_the_roles_that_grant_what_it_needs_and_nobody_else(guarded: Guarded) -> None:
    """Route by role: 401 without a credential, 403 with a role too little, something else with the right one."""
    keys = {role: guarded.key(role) for role in Role}
    wrong = []
    for route in ROUTES:
        if route.needs is Need.NOTHING:
            continue
        status = await guarded.status(route.method, concrete(route), {})
        if status != 401:
            wrong.append((route.method, route.path, "nobody", status))
        for role, headers in keys.items():
            status = await guarded.status(route.method, concrete(route), {}, **headers)
            is_granted = route.needs is Need.KNOWN or route.needs in GRANTED[role]
            if is_granted == (status in (401, 403)):
                wrong.append((route.method, route.path, role, status))
    assert wrong == []


def test_the_reference_lists_what_every_route_needs() -> None:
    """A new route fails here until somebody has thought about who may call it."""
    listed = dict(re.findall(r"^\| ((?:GET|POST|PUT|DELETE) \S+) \| (\w+) \|$", REFERENCE.read_text(), re.MULTILINE))
    assert listed == {f"{route.method} {route.path}": route.needs.value for route in ROUTES}


def test_a_handler_cannot_serve_two_routes_of_different_needs() -> None:
    """The need is looked up by the handler."""
    route = ROUTES[0]
    with pytest.raises(ValueError, match="needs"):
        needs_of([route, Route(method="PUT", path="/other", handler=route.handler, needs=Need.ADMINISTER)])


async def test_a_key_is_exchanged_for_a_token_as_conductors_clients_do(guarded: Guarded) -> None:
    """`X-Authorization` as the SDKs send it, `Bearer` as everybody else does."""
    header = guarded.key(Role.READER)
    key_id, secret = base64.b64decode(header["Authorization"].split()[1]).decode().split(":")
    token = (await guarded.json("POST", "/api/token", {"keyId": key_id, "keySecret": secret}, {}))["token"]
    for headers in ({"X-Authorization": token}, {"Authorization": f"Bearer {token}"}):
        caller = await guarded.json("GET", "/api/token/userInfo", None, headers)
        assert (caller["name"], caller["roles"]) == ("reader", [{"name": "reader"}])
    refused = await guarded.rest.call("POST", "/api/token", {"keyId": key_id, "keySecret": "guess"})
    assert refused.status == 401
    assert orjson.loads(await refused.read())["error"] == "CREDENTIAL_INVALID"


async def test_a_key_that_was_removed_ends_at_once_with_its_tokens(guarded: Guarded) -> None:
    """The server runs on; nobody restarts it."""
    header = guarded.key(Role.READER)
    content = read_key_file(guarded.path)
    token = issue(content.keys[0].id, content.token_secret, now_s=NOW_MS // 1000)
    assert await guarded.status("GET", "/api/metadata/taskdefs", **header) == 200
    assert await guarded.status("GET", "/api/metadata/taskdefs", **{"X-Authorization": token}) == 200
    write_key_file(guarded.path, KeyFile(token_secret=content.token_secret))
    assert await guarded.status("GET", "/api/metadata/taskdefs", **header) == 401
    assert await guarded.status("GET", "/api/metadata/taskdefs", **{"X-Authorization": token}) == 401


async def test_a_key_file_that_becomes_unreadable_changes_nothing(guarded: Guarded) -> None:
    """Half a file is no reason to lock everybody out, nor to let anybody in."""
    header = guarded.key(Role.READER)
    assert await guarded.status("GET", "/api/metadata/taskdefs", **header) == 200
    guarded.path.write_text("{")
    assert await guarded.status("GET", "/api/metadata/taskdefs", **header) == 200
    assert await guarded.status("GET", "/api/metadata/taskdefs", **basic("nobody", "x")) == 401


FORGERIES = {
    "not signed": {"algorithm": "none", "key": ""},
    "signed with another secret": {"algorithm": "HS256", "key": "x" * 43},
    "of another algorithm": {"algorithm": "HS512"},
    "without an expiry": {"claims": {"exp": None}},
    "for somebody else": {"claims": {"aud": "other"}},
    "of another issuer": {"claims": {"iss": "https://elsewhere.example"}},
    "of a key that never was": {"claims": {"sub": "0123456789ab"}},
    "expired": {"claims": {"exp": NOW_MS // 1000 - 60}, "error": "EXPIRED_TOKEN"},
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # of the forger's choice
@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_token_opens_nothing(guarded: Guarded, forgery: JsonObject) -> None:
    """And the answer says in the clients' own words whether another token would help."""
    guarded.key(Role.ADMIN)
    content = read_key_file(guarded.path)
    now_s = NOW_MS // 1000
    claims = {"iss": "podium", "aud": "podium", "sub": content.keys[0].id, "iat": now_s, "exp": now_s + 600}
    claims |= forgery.get("claims", {})
    token = jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        forgery.get("key", content.token_secret),
        algorithm=forgery.get("algorithm", "HS256"),
    )
    response = await guarded.rest.call("GET", "/api/metadata/taskdefs", headers={"X-Authorization": token})
    assert response.status == 401
    assert orjson.loads(await response.read())["error"] == forgery.get("error", "INVALID_TOKEN")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"Authorization": "Basic"},
        {"Authorization": "Digest x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
        {"X-Authorization": "x" * 8_000},
        {"X-Authorization": "eyJhbGciOiJIUzI1NiJ9.W10.x"},
    ],
    ids=["no_base64", "no_text", "no_key", "unknown_scheme", "no_token", "no_json", "long", "claims_no_object"],
)
async def test_a_credential_that_is_none_is_401(guarded: Guarded, headers: dict[str, str]) -> None:
    """Whatever it is: never a 500, never let through."""
    assert await guarded.status("GET", "/api/metadata/taskdefs", **headers) == 401


async def test_a_server_that_asks_for_nothing_has_no_tokens(rest: Rest) -> None:
    """Conductor's clients take the 404 for that and go on without."""
    await rest.refused("POST", "/api/token", {"keyId": "k", "keySecret": "s"}, status=404)
    await rest.refused("GET", "/api/token/userInfo", status=404)


async def test_a_caller_sees_and_touches_workflows_within_its_limits_only(guarded: Guarded) -> None:
    """By id, by name, by search, in bulk: what is beyond them is refused, or is not in the answer."""
    admin = guarded.key(Role.ADMIN)
    limited = guarded.key(Role.AUTHOR, workflows=["video_*", "exact"])
    for name in ("video_a", "exact", "exactly", "secret"):
        body = {"name": name, "tasks": [simple("t")]}
        assert await guarded.status("POST", "/api/metadata/workflow", body, **admin) == 200
    ids = {}
    for name in ("video_a", "exact", "exactly", "secret"):
        reply = await guarded.rest.call("POST", f"/api/workflow/{name}", {}, headers=admin)
        ids[name] = await reply.text()
        await guarded.rest.node.history.wait_projected(WorkflowId(ids[name]), 1, timeout_ms=10_000)
    for name, allowed in {"video_a": True, "exact": True, "exactly": False, "secret": False}.items():
        wid = ids[name]
        calls = [
            ("GET", f"/api/workflow/{wid}"),
            ("GET", f"/api/workflow/{wid}/tasks"),
            ("GET", f"/api/workflow/{wid}/await?waitForSeconds=1"),
            ("GET", f"/api/tasks/{wid}~1"),
            ("GET", f"/api/metadata/workflow/{name}"),
            ("GET", f"/api/workflow/running/{name}"),
            ("POST", f"/api/workflow/{name}"),
            ("POST", f"/api/workflow/execute/{name}/1?waitForSeconds=1"),
            ("PUT", f"/api/workflow/{wid}/pause"),
            ("PUT", f"/api/workflow/{wid}/resume"),
            ("POST", f"/api/tasks/{wid}/t/COMPLETED"),
        ]
        for method, path in calls:
            status = await guarded.status(method, path, {}, **limited)
            assert (status != 403) is allowed, (method, path, status)
    names = await guarded.json("GET", "/api/metadata/workflow/names", None, limited)
    assert names == ["exact", "video_a"]
    found = await guarded.json("GET", "/api/workflow/search?query=status=RUNNING OR status=COMPLETED", None, limited)
    assert {hit["workflowType"] for hit in found["results"]} == {"video_a", "exact"}
    told = await guarded.json("POST", "/api/workflow/bulk/terminate", list(ids.values()), limited)
    assert ids["secret"] in told["bulkErrorResults"]
    assert "limited" in told["bulkErrorResults"][ids["secret"]]


async def test_a_worker_polls_and_reports_on_its_own_types_only(guarded: Guarded) -> None:
    """It cannot end the task of another type, even if it knows its id."""
    admin = guarded.key(Role.ADMIN)
    worker = guarded.key(Role.WORKER, task_types=["encode_*"])
    definition = {"name": "w", "tasks": [simple("encode_a"), simple("pay")]}
    await guarded.status("POST", "/api/metadata/workflow", definition, **admin)
    await guarded.status("POST", "/api/workflow/w", {}, **admin)
    (task,) = await guarded.json("GET", "/api/tasks/poll/batch/encode_a?timeout=1000", None, worker)
    assert await guarded.status("POST", "/api/tasks", result(task), **worker) == 200
    assert await guarded.status("GET", "/api/tasks/poll/batch/pay?timeout=1", None, **worker) == 403
    (other,) = await guarded.json("GET", "/api/tasks/poll/batch/pay?timeout=1000", None, admin)
    assert await guarded.status("POST", "/api/tasks", result(other), **worker) == 403
    assert await guarded.status("POST", "/api/tasks", result(other), **admin) == 200


def test_a_server_that_asks_for_nothing_does_not_load_what_checks_signatures() -> None:
    """It would cost each of its starts 80 ms."""
    program = "import sys, api.cli.serve; print(sorted({'jwt', 'cryptography'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("pattern", "name", "is_within"),
    [
        ("*", "a", True),
        ("a*", "a", True),
        ("a*", "ab", True),
        ("a", "ab", False),
        ("a*", "ba", False),
        ("[a]", "a", False),
    ],
)
def test_a_limit_is_a_name_or_the_beginning_of_one(pattern: str, name: str, is_within: bool) -> None:  # noqa: FBT001
    """Nothing else in it has a meaning."""
    assert Principal(subject="s", roles=(), workflows=(pattern,)).may_see_workflow(name) is is_within


def test_the_key_file_holds_no_secret_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Who reads it cannot call the server; others cannot even read it."""
    path = tmp_path / "keys.json"
    key, secret = new_key("a", [Role.ADMIN], now_ms=NOW_MS)
    write_key_file(path, KeyFile(token_secret="t", keys=(key,)))
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o640)
    with pytest.raises(KeyFileInvalid, match="chmod 600"):
        KeyRing(path)


def test_a_key_that_has_expired_is_none(tmp_path: Path) -> None:
    """To the millisecond."""
    path = tmp_path / "keys.json"
    key, secret = new_key("a", [Role.ADMIN], expires_at_ms=NOW_MS + 1, now_ms=NOW_MS)
    write_key_file(path, KeyFile(token_secret="t", keys=(key,)))
    ring = KeyRing(path)
    assert ring.proven(key.id, secret, now_ms=NOW_MS) is not None
    assert ring.proven(key.id, secret, now_ms=NOW_MS + 1) is None
    assert ring.proven(key.id, secret + "x", now_ms=NOW_MS) is None
