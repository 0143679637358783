"""The gate: who calls, and whether that may do what a route needs.

Holds the gate of a server that asks for no credentials; `api.access.credentials` has the other. Must not know routes or
workflows. Keeps the invariant that a server has one gate, through which every request comes.
"""

from aiohttp import web

from api.access.permissions import EVERYBODY, Need, Principal


class Gate:
    """Lets everybody do everything."""

    is_open: bool = True
    """Whether nobody is asked for a credential."""

    def token_for(self, key_id: str, secret: str) -> str | None:
        """Return a token for a key, None where there are no keys.

        Raises:
            CredentialInvalid: there is no such key, or its secret is another.
        """
        del key_id, secret
        return None

    async def admit(self, request: web.Request, need: Need) -> Principal:
        """Return who calls, if that may do what the route needs.

        Raises:
            AccessDenied: not let through.
        """
        del request, need
        return EVERYBODY
