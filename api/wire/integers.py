"""Numbers of the edge models.

Holds Java's two integers as types. Must not hold models. Keeps the invariant that a number which a client of
Conductor could not hold is refused.
"""

from typing import Annotated, Final

from pydantic import Field

LONG_MAX: Final = 2**63 - 1
INT_MAX: Final = 2**31 - 1

Int = Annotated[int, Field(ge=-INT_MAX - 1, le=INT_MAX)]
Long = Annotated[int, Field(ge=-LONG_MAX - 1, le=LONG_MAX)]
