"""Claims about tokens of an OpenID Connect issuer: a real issuer's documents, served on loopback."""

import time
from collections.abc import AsyncIterator

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from api.access.errors import TokenExpired, TokenInvalid
from api.access.oidc import FETCH_PAUSE_S, ForeignTokens, OidcSettings
from api.access.permissions import ANY_NAME, Role
from engine.json_value import JsonObject

RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
AUDIENCE = "podium"


class Issuer:
    """An issuer that publishes its keys, and counts how often it is asked for them."""

    def __init__(self) -> None:
        """Publish two keys of two kinds."""
        self.url = ""
        self.asked = 0
        self.is_away = False
        self.published = [
            jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "r1"},
            jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True) | {"kid": "e1"},
        ]

    async def discovery(self, request: web.Request) -> web.Response:
        """Answer with where the keys are."""
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def keys(self, request: web.Request) -> web.Response:
        """Answer with the keys."""
        self.asked += 1
        if self.is_away:
            raise web.HTTPServiceUnavailable
        return web.json_response({"keys": self.published})

    def token(self, *, key: object = RSA_KEY, key_id: str = "r1", algorithm: str = "RS256", **claims: object) -> str:
        """Return a token of this issuer. A claim that is None is left out."""
        now_s = int(time.time())
        all_claims: JsonObject = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "exp": now_s + 600} | claims
        present = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(present, key, algorithm=algorithm, headers={"kid": key_id})  # type: ignore[arg-type]


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer on loopback."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/keys", issuer.keys)
    async with TestServer(app) as server:
        issuer.url = str(server.make_url("")).rstrip("/")
        yield issuer


def tokens_of(issuer: Issuer, **settings: str) -> ForeignTokens:
    """Return the check of an issuer's tokens."""
    return ForeignTokens(OidcSettings(issuer=issuer.url, audience=AUDIENCE, **settings))


async def test_a_token_grants_the_roles_and_limits_of_its_claims(issuer: Issuer) -> None:
    """As lists or as texts with spaces; what Podium does not know grants nothing."""
    foreign = tokens_of(issuer)
    claims: JsonObject = {"podium_roles": ["reader", "emperor"], "podium_workflows": "a b*"}
    caller = await foreign.principal(issuer.token(**claims))
    assert (caller.subject, caller.roles) == ("ann", (Role.READER,))
    assert (caller.workflows, caller.task_types) == (("a", "b*"), ANY_NAME)
    assert (await foreign.principal(issuer.token())).roles == ()
    odd = await foreign.principal(issuer.token(podium_roles={"admin": True}))
    assert odd.roles == ()


async def test_keys_of_several_kinds_are_accepted_and_fetched_once(issuer: Issuer) -> None:
    """Each token is checked by the key and the algorithm that belong together."""
    foreign = tokens_of(issuer, jwks_url=f"{issuer.url}/keys")
    for _ in range(3):
        await foreign.principal(issuer.token())
        await foreign.principal(issuer.token(key=EC_KEY, key_id="e1", algorithm="ES256"))
    assert issuer.asked == 1


FORGERIES = {
    "of another key": {"key": rsa.generate_private_key(public_exponent=65_537, key_size=2_048)},
    "of an unknown key": {"key_id": "r2"},
    "without a key id": {"key_id": ""},
    "not signed": {"key": "", "algorithm": "none"},
    "signed with the public key as a secret": {"key": "public key, as anybody has it; 32 bytes", "algorithm": "HS256"},
    "of another issuer": {"iss": "https://elsewhere.example"},
    "for another audience": {"aud": "other"},
    "without an expiry": {"exp": None},
    "without a subject": {"sub": None},
    "not valid yet": {"nbf": int(time.time()) + 3_600},
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_token_is_refused(issuer: Issuer, forgery: JsonObject) -> None:
    """The algorithms are ours to choose, and none of them takes a secret."""
    with pytest.raises(TokenInvalid):
        await tokens_of(issuer).principal(issuer.token(**forgery))


async def test_a_token_that_has_expired_says_so(issuer: Issuer) -> None:
    """So that clients get another one."""
    with pytest.raises(TokenExpired):
        await tokens_of(issuer).principal(issuer.token(exp=int(time.time()) - 120))


async def test_made_up_key_ids_do_not_flood_the_issuer(issuer: Issuer) -> None:
    """An unknown key may be new, so it is looked for: once in a while, whoever asks how often."""
    foreign = tokens_of(issuer)
    for number in range(50):
        with pytest.raises(TokenInvalid):
            await foreign.principal(issuer.token(key_id=f"made-up-{number}"))
    assert issuer.asked == 1


async def test_an_issuer_that_is_away_is_asked_again_later_and_known_keys_stay_in_force(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server starts without its issuer, and survives its absence."""
    foreign = tokens_of(issuer)
    issuer.is_away = True
    with pytest.raises(TokenInvalid, match="could not be asked"):
        await foreign.principal(issuer.token())
    issuer.is_away = False
    monkeypatch.setattr("api.access.oidc.FETCH_PAUSE_S", 0)
    await foreign.principal(issuer.token())
    issuer.is_away = True
    monkeypatch.setattr("api.access.oidc.KEYS_LIFE_S", 0)
    await foreign.principal(issuer.token())
    assert issuer.asked == 3
    assert FETCH_PAUSE_S > 0
