"""Cutting a query into tokens.

Holds the alphabet of the language. Must not know its grammar. Keeps the invariant that every character belongs to one
token or is space between two; time is linear in the length of the text.
"""

import re
from enum import StrEnum
from typing import Final

import msgspec

from streams.service import QueryInvalid

QUERY_CHARS_MAX: Final = 100_000
"""A list of a thousand ids of 64 characters fits; more is not written by a person."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<open>\()
      | (?P<close>\))
      | (?P<comma>,)
      | (?P<operator><=|>=|!=|<>|==|=|<|>)
      | (?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<word>[^\s(),=<>!'"]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\([\\'\"*])|\*", re.DOTALL)
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "STARTS_WITH"})
_SPELLINGS: Final = {"<>": "!=", "==": "="}


class Kind(StrEnum):
    """What a token is, in the words of an error message."""

    OPEN = "("
    CLOSE = ")"
    COMMA = ","
    OPERATOR = "operator"
    KEYWORD = "keyword"
    QUOTED = "quoted text"
    WORD = "word"
    END = "end of the query"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the query. `position` counts characters from 1; `pieces` is a value's text, cut at unescaped `*`."""

    kind: Kind
    text: str
    position: int
    pieces: tuple[str, ...] = ()


def tokens_of(query: str) -> list[Token]:
    r"""Return the tokens of a query, the last of which is its end.

    In quotes `\'`, `\"`, `\\` and `\*` stand for the second character itself; any other backslash stands for
    itself.

    Raises:
        QueryInvalid: a quote is not closed, a character has no meaning, or the query is too long.
    """
    if len(query) > QUERY_CHARS_MAX:
        raise QueryInvalid(f"the query has {len(query)} characters; expected at most {QUERY_CHARS_MAX}")
    tokens: list[Token] = []
    place = 0
    while place < len(query):
        found = _TOKEN.match(query, place)
        if found is None:
            raise QueryInvalid(_unreadable(query, place))
        if found.lastgroup != "space":
            tokens.append(_token(str(found.lastgroup), found.group(), place + 1))
        place = found.end()
    tokens.append(Token(kind=Kind.END, text="", position=len(query) + 1))
    return tokens


def _token(group: str, text: str, position: int) -> Token:
    if group == "quoted":
        return Token(kind=Kind.QUOTED, text=text, position=position, pieces=_pieces(text[1:-1]))
    if group == "word":
        keyword = text.upper()
        if keyword in _KEYWORDS:
            return Token(kind=Kind.KEYWORD, text=keyword, position=position)
        return Token(kind=Kind.WORD, text=text, position=position, pieces=tuple(text.split("*")))
    return Token(kind=Kind[group.upper()], text=_SPELLINGS.get(text, text), position=position)


def _pieces(text: str) -> tuple[str, ...]:
    pieces = [""]
    place = 0
    for found in _ESCAPE.finditer(text):
        pieces[-1] += text[place : found.start()]
        if found.group(1) is None:
            pieces.append("")
        else:
            pieces[-1] += found.group(1)
        place = found.end()
    pieces[-1] += text[place:]
    return tuple(pieces)


def _unreadable(query: str, place: int) -> str:
    char = query[place]
    if char in "'\"":
        return f"position {place + 1}: expected a closing {char} for the text that begins here, found the end"
    return f"position {place + 1}: expected a field, an operator or a value, found {char!r}"
