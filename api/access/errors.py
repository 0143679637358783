"""Why a caller is turned away.

Holds the refusals and their words. Must not say what would have been there: who may not see a workflow does not learn
whether it exists. Keeps the invariant that a client can tell a credential to be renewed from one that never helps.
"""

from api.errors import ApiError


class AccessDenied(ApiError):
    """The caller is not let through."""


class CredentialMissing(AccessDenied):
    """No credential came with the request. Send one of the forms that the message names."""

    status = 401
    code = "CREDENTIAL_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "this server asks for a credential, and the request has none: send X-Authorization with a token from"
            " POST /api/token, or Authorization: Bearer TOKEN, or Authorization: Basic with key id and key secret"
        )


class CredentialInvalid(AccessDenied):
    """The key is not known, or its secret is another."""

    status = 401
    code = "CREDENTIAL_INVALID"

    def __init__(self) -> None:
        super().__init__("there is no key of this id with this secret; it may have expired or been taken away")


class TokenExpired(AccessDenied):
    """The token's time is over. Clients get another one when they read this code."""

    status = 401
    code = "EXPIRED_TOKEN"

    def __init__(self) -> None:
        super().__init__("the token has expired: get another one")


class TokenInvalid(AccessDenied):
    """The token is not one of those that are accepted here."""

    status = 401
    code = "INVALID_TOKEN"

    def __init__(self, why: str) -> None:
        super().__init__(f"the token is not accepted: {why}")


class Forbidden(AccessDenied):
    """The caller is known, and may not do this."""

    status = 403
    code = "FORBIDDEN"
