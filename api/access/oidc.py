"""Tokens of somebody else: OpenID Connect.

Holds the check of a foreign JWT against the issuer's published keys, and what its claims grant. Must not ask the
issuer for every request, nor more than a stranger can make it: the keys are cached, and an unknown key id is looked
for once in a while only. Keeps the invariants that the algorithms are ours to choose and all asymmetric, that issuer,
audience and expiry are checked, and that a claim which grants nothing we know grants nothing.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import jwt
import msgspec
import structlog

from api.access.errors import TokenExpired, TokenInvalid
from api.access.permissions import ANY_NAME, Principal, Role

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
LEEWAY_S: Final = 60
"""By which the issuer's clock and ours may differ."""
KEYS_LIFE_S: Final = 600
"""After that the issuer's keys are fetched anew; a key that it withdrew is then forgotten."""
FETCH_PAUSE_S: Final = 10
"""At least, between two fetches: tokens with made-up key ids cannot have the issuer flooded."""
FETCH_SECONDS_MAX: Final = 5
DOCUMENT_BYTES_MAX: Final = 1_000_000

_log = structlog.get_logger(__name__)


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens are accepted. `jwks_url` is asked of the issuer's discovery document where it is "".

    The claims named here hold a text or a list of texts; roles that are not Podium's are ignored.
    """

    issuer: str
    audience: str
    jwks_url: str = ""
    roles_claim: str = "podium_roles"
    workflows_claim: str = "podium_workflows"
    task_types_claim: str = "podium_task_types"


class ForeignTokens:
    """Checks the tokens of one issuer."""

    def __init__(self, settings: OidcSettings) -> None:
        """Fetch nothing yet: a server starts without its issuer."""
        self.issuer = settings.issuer
        self._settings = settings
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at_s = -float(KEYS_LIFE_S)
        self._tried_at_s = -float(FETCH_PAUSE_S)
        self._fetching = asyncio.Lock()

    async def principal(self, token: str) -> Principal:
        """Return who calls with a token.

        Raises:
            TokenExpired: its time is over.
            TokenInvalid: it is not the issuer's, not for us, or the issuer's keys cannot be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except jwt.InvalidTokenError as error:
            raise TokenInvalid(str(error)) from None
        known = {role.value for role in Role}
        return Principal(
            subject=str(claims["sub"]),
            roles=tuple(Role(text) for text in _texts(claims.get(self._settings.roles_claim)) if text in known),
            workflows=_texts(claims.get(self._settings.workflows_claim)) or ANY_NAME,
            task_types=_texts(claims.get(self._settings.task_types_claim)) or ANY_NAME,
        )

    async def _key(self, key_id: str) -> jwt.PyJWK:
        now_s = time.monotonic()
        is_old = now_s - self._fetched_at_s >= KEYS_LIFE_S
        if (is_old or key_id not in self._keys) and now_s - self._tried_at_s >= FETCH_PAUSE_S:
            async with self._fetching:
                if time.monotonic() - self._tried_at_s >= FETCH_PAUSE_S:
                    self._tried_at_s = time.monotonic()
                    await self._fetch()
        found = self._keys.get(key_id)
        if found is None:
            message = f"the issuer {self._settings.issuer} publishes no key {key_id!r}, or could not be asked"
            raise TokenInvalid(message)
        return found

    async def _fetch(self) -> None:
        """Fetch the issuer's keys. Failing, the ones that are known stay in force."""
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS_MAX)
        try:
            async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
                url = self._settings.jwks_url
                if not url:
                    base = self._settings.issuer.rstrip("/")
                    url = str((await _document(session, f"{base}/.well-known/openid-configuration"))["jwks_uri"])
                document = await _document(session, url)
            self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys if key.key_id}
            self._fetched_at_s = time.monotonic()
        except (aiohttp.ClientError, TimeoutError, jwt.PyJWTError, msgspec.DecodeError, KeyError, ValueError) as error:
            _log.error("issuer_keys_not_fetched", issuer=self._settings.issuer, reason=repr(error))


async def _document(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url, allow_redirects=False) as response:
        body = await response.content.read(DOCUMENT_BYTES_MAX)
        return msgspec.json.decode(body, type=dict[str, Any])


def _texts(claim: object) -> tuple[str, ...]:
    if isinstance(claim, str):
        return tuple(claim.split())
    if isinstance(claim, Sequence):
        return tuple(item for item in claim if isinstance(item, str))
    return ()
