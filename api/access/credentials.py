"""The gate of a server that asks for credentials: from the headers of a request to who calls.

Holds the order of the credentials. Must not know routes or workflows. Keeps the invariant that a request without a
valid credential is nobody's, and nobody may do nothing but what is open to all.

Imported by servers that ask for credentials alone: signatures bring a library that costs every start 80 ms.
"""

import base64
import binascii
import time
from typing import Final

import jwt
from aiohttp import web

from api.access.errors import CredentialInvalid, CredentialMissing, Forbidden, TokenInvalid
from api.access.gate import Gate
from api.access.keys import KeyRing
from api.access.oidc import ForeignTokens
from api.access.permissions import NOBODY, Need, Principal
from api.access.tokens import issue, key_of

CREDENTIAL_CHARS_MAX: Final = 16_384
"""Of one header: no token is longer."""


class CredentialGate(Gate):
    """Asks for keys, for tokens that were given for keys, or for tokens of an issuer."""

    is_open = False

    def __init__(self, *, keys: KeyRing | None = None, foreign: ForeignTokens | None = None) -> None:
        """Accept `keys`, the tokens of the issuer behind `foreign`, or both."""
        self._keys = keys
        self._foreign = foreign

    def token_for(self, key_id: str, secret: str) -> str | None:
        """Return a token for a key. See `Gate.token_for`."""
        if self._keys is None:
            return None
        key = self._keys.proven(key_id, secret, now_ms=_now_ms())
        if key is None:
            raise CredentialInvalid
        return issue(key.id, self._keys.token_secret, now_s=_now_ms() // 1000)

    async def admit(self, request: web.Request, need: Need) -> Principal:
        """Return who calls. See `Gate.admit`."""
        if need is Need.NOTHING:
            return NOBODY
        principal = await self._principal(request)
        if not principal.may(need):
            roles = ", ".join(principal.roles) or "no role"
            message = f"{principal.subject} has {roles}, and {request.method} {request.path} needs {need.value}"
            raise Forbidden(message)
        return principal

    async def _principal(self, request: web.Request) -> Principal:
        token = request.headers.get("X-Authorization", "")
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if len(token) > CREDENTIAL_CHARS_MAX or len(credential) > CREDENTIAL_CHARS_MAX:
            message = f"it is longer than {CREDENTIAL_CHARS_MAX} characters"
            raise TokenInvalid(message)
        match scheme.lower():
            case _ if token:
                return await self._of_token(token.removeprefix("Bearer "))
            case "bearer":
                return await self._of_token(credential.strip())
            case "basic":
                return self._of_key(credential.strip())
            case _:
                raise CredentialMissing

    async def _of_token(self, token: str) -> Principal:
        try:
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.InvalidTokenError as error:
            raise TokenInvalid(str(error)) from None
        # The issuer only says which check is made; each has its own keys and its own algorithms.
        if self._foreign is not None and issuer == self._foreign.issuer:
            return await self._foreign.principal(token)
        if self._keys is None:
            message = f"its issuer is {issuer!r}, which is not the one that this server trusts"
            raise TokenInvalid(message)
        key = self._keys.find(key_of(token, self._keys.token_secret), now_ms=_now_ms())
        if key is None:
            message = "its key has expired or was taken away"
            raise TokenInvalid(message)
        return key.principal()

    def _of_key(self, credential: str) -> Principal:
        try:
            key_id, _, secret = base64.b64decode(credential, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise CredentialInvalid from None
        key = None if self._keys is None else self._keys.proven(key_id, secret, now_ms=_now_ms())
        if key is None:
            raise CredentialInvalid
        return key.principal()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
