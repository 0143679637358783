"""The tokens that this cluster gives for its keys.

Holds the form of a token: a JWT, signed with HMAC-SHA-256 by the secret of the key file, that names its key. Must not
hold what the key may do: that is looked up at each request, so a key that is taken away ends its tokens too. Keeps
the invariant that one algorithm is accepted and nothing in a token can choose another.

Source: Orkes' `POST /api/token`, which Conductor's clients call when they are given a key.
"""

from typing import Final

import jwt

from api.access.errors import TokenExpired, TokenInvalid

ALGORITHM: Final = "HS256"
ISSUER: Final = "podium"
LIFE_S: Final = 3_600
"""Conductor's clients renew theirs after 45 minutes at the latest."""
LEEWAY_S: Final = 10
"""By which the clocks of the cluster may differ."""


def issue(key_id: str, secret: str, *, now_s: int) -> str:
    """Return a token for a key."""
    claims = {"iss": ISSUER, "aud": ISSUER, "sub": key_id, "iat": now_s, "exp": now_s + LIFE_S}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def key_of(token: str, secret: str) -> str:
    """Return the id of the key that a token was given for.

    Raises:
        TokenExpired: its time is over.
        TokenInvalid: it was not given out here.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=ISSUER,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iat", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired from None
    except jwt.InvalidTokenError as error:
        raise TokenInvalid(str(error)) from None
    return str(claims["sub"])
