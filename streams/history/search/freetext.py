"""The `freeText` parameter.

Holds its reading: words, each of which must be found in one of the searched columns, whatever its case; text in
double quotes is one word, `*` in a word stands for anything. Must not run anything. `*` alone, or nothing, means
everything.
"""

import re
from typing import Final

from streams.history.search.condition import Bindings, like_pattern
from streams.history.search.fields import Searched
from streams.service import QueryInvalid

WORDS_MAX: Final = 20
FREE_TEXT_CHARS_MAX: Final = 2_000

_WORD: Final = re.compile(r'"([^"]*)"|(\S+)')


def free_text_sql(text: str, searched: Searched, bindings: Bindings) -> str | None:
    """Return the condition that a free text means, None if it means everything.

    Raises:
        QueryInvalid: it is too long.
    """
    if len(text) > FREE_TEXT_CHARS_MAX:
        raise QueryInvalid(f"free text: expected at most {FREE_TEXT_CHARS_MAX} characters, found {len(text)}")
    found = [(word.group(1), word.group(2)) for word in _WORD.finditer(text)]
    words = [quoted if quoted is not None else bare for quoted, bare in found]
    words = [word for word in words if word.strip("*")]
    if not words:
        return None
    if len(words) > WORDS_MAX:
        raise QueryInvalid(f"free text: expected at most {WORDS_MAX} words, found {len(words)}")
    return "(" + " AND ".join(_word_sql(word, searched, bindings) for word in words) + ")"


def _word_sql(word: str, searched: Searched, bindings: Bindings) -> str:
    if "*" in word.strip("*"):
        pattern = bindings.bind(like_pattern(("", *word.split("*"), "")), "String")
        found = (f"{column} ILIKE {pattern}" for column in searched.free_text)
    else:
        wanted = bindings.bind(word.strip("*"), "String")
        found = (f"positionCaseInsensitiveUTF8({column}, {wanted}) > 0" for column in searched.free_text)
    return "(" + " OR ".join(found) + ")"
