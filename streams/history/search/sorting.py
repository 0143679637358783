"""The `sort` parameter: `field:ASC|DESC`, several joined by `|`.

Holds its reading. Must not run anything. Keeps every order total: the key comes last, so that pages neither repeat
nor lose a row.
"""

from typing import Final

from streams.history.search.fields import Searched
from streams.service import QueryInvalid

SORTS_MAX: Final = 10

_DIRECTIONS: Final = {"": "ASC", "ASC": "ASC", "DESC": "DESC"}


def order_sql(sort: str, searched: Searched) -> str:
    """Return the ORDER BY list of a sort parameter, the usual order for an empty one.

    `startTime:DESC|priority:ASC` is two keys; `DESC` and `ASC` are the only words after a colon, so the `|` is never
    one of them.

    Raises:
        QueryInvalid: a field is unknown or a direction is neither ASC nor DESC; names the position.
    """
    keys: list[str] = []
    position = 1
    for part in (sort if sort.strip() else searched.default_sort).split("|"):
        name, _, direction = part.partition(":")
        field = searched.fields.get(name.strip())
        if field is None:
            raise QueryInvalid(
                f"sort, position {position}: expected one of the fields {', '.join(sorted(searched.fields))}; "
                f"found {name.strip()!r}"
            )
        spelt = _DIRECTIONS.get(direction.strip().upper())
        if spelt is None:
            raise QueryInvalid(
                f"sort, position {position + len(name) + 1}: expected ASC or DESC, found {direction.strip()!r}"
            )
        keys.append(f"{field.sql} {spelt}")
        position += len(part) + 1
    if len(keys) > SORTS_MAX:
        raise QueryInvalid(f"sort: expected at most {SORTS_MAX} fields, found {len(keys)}")
    return ", ".join([*keys, *searched.key])
