"""The tokens of a jq program, and the names in it that reach outside.

Holds a scanner that reads strings with their interpolations, and comments, as jq's own does. Must not compile
anything. Keeps the invariant that where jq's reading could differ from this one, the program is refused.

Source: jq 1.8's lexical grammar. This is the second lock: the process in which jq runs has an empty environment and can
open no file.
"""

import re
from typing import Final, NamedTuple

from streams.scripts.limits import FORBIDDEN
from streams.scripts.outcome import Failure

NOW: Final = "now"

_REACHES: Final = {
    "import": "it reads files of the server",
    "include": "it reads files of the server",
    "module": "a program of a workflow is no module",
    "modulemeta": "it reads files of the server",
    "get_search_list": "it tells where files of the server are",
    "input_filename": "it tells of files of the server",
    "env": "it reads the environment of the server",
    "$ENV": "it reads the environment of the server",
    "input": "the input of the task is `.`, and there is no other",
    "inputs": "the input of the task is `.`, and there is no other",
    "debug": "it writes to the log of the server",
    "stderr": "it writes to the log of the server",
    "halt": "it ends the process",
    "halt_error": "it ends the process; use error",
}
_NAME: Final = r"[a-zA-Z_][a-zA-Z_0-9]*"
_CODE: Final = re.compile(
    r"(?P<blank>[ \t\r\n]+)"
    r"|(?P<comment>#[^\n]*)"
    r'|(?P<quote>")'
    r"|(?P<recursion>\.\.)"
    rf"|(?P<field>\.{_NAME})"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    rf"|(?P<binding>\$(?:{_NAME}::)*{_NAME})"
    rf"|(?P<name>(?:{_NAME}::)*{_NAME})"
    r"|(?P<mark>.)",
    re.DOTALL,
)
_TEXT: Final = re.compile(r'(?P<chars>[^"\\]+|\\[^(])|(?P<open>\\\()|(?P<quote>")', re.DOTALL)
_INTERPOLATION: Final = "\\("
_STRING: Final = '"'
_IF: Final = "if"
_BRACKET_ENDS: Final = frozenset(")]}")
_ENDS: Final = {")": "(", "]": "[", "}": "{", "end": _IF}


class Token(NamedTuple):
    """One token: a name, a binding or a mark, where it stands, and the bracket it stands in."""

    text: str
    line: int
    within: str


class JqUnclear(Exception):
    """A place that jq may read differently."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(reason)


def tokens_of(source: str) -> list[Token]:
    """Return the tokens, without blanks, comments and the literal parts of texts (which count as the mark `"`).

    A program that is not well-formed gives the tokens up to where that shows; jq itself says what is wrong.

    Raises:
        JqUnclear: the end of a comment is where versions of jq differ, or there is a NUL.
    """
    found: list[Token] = []
    open_brackets: list[str] = [""]
    position = 0
    line = 1
    while position < len(source):
        pattern = _TEXT if open_brackets[-1] == _STRING else _CODE
        match = pattern.match(source, position)
        if match is None:
            break
        text, kind = match.group(), match.lastgroup
        position = match.end()
        if text == "\0":
            raise JqUnclear(line, "there is a NUL in it, at which jq would stop reading")
        if kind == "comment" and ("\r" in text.removesuffix("\r") or text.removesuffix("\r").endswith("\\")):
            raise JqUnclear(line, "a comment ends with a backslash or holds a carriage return: does it go on after it?")
        if kind not in {"blank", "comment", "chars"}:
            found.append(Token(text, line, open_brackets[-1]))
            _track(open_brackets, text)
        line += text.count("\n")
    return found


def refusal_of(tokens: list[Token]) -> Failure | None:
    """Return why a program may not run, None if it may. A field or key may have any name."""
    for index, token in enumerate(tokens):
        reason = _REACHES.get(token.text.rpartition("::")[2])
        if reason is not None and not _is_key(tokens, index):
            return Failure(FORBIDDEN, f"{token.text} is not available in a workflow: {reason}", token.line)
    return None


def asks_for_time(tokens: list[Token]) -> bool:
    """Tell whether a program may read the clock."""
    return any(token.text.rpartition("::")[2] == NOW for token in tokens)


def _track(open_brackets: list[str], text: str) -> None:
    """Follow the nesting. An unmatched end is left to jq, which refuses the program."""
    if text in _BRACKET_ENDS:
        # `if` is a key too (`{if: 1}`): it must not keep a bracket open, or texts and code would change places.
        while open_brackets[-1] == _IF:
            open_brackets.pop()
    innermost = open_brackets[-1]
    if text == _INTERPOLATION:
        open_brackets.append(text)
    elif text == _STRING:
        if innermost == _STRING:
            open_brackets.pop()
        else:
            open_brackets.append(_STRING)
    elif text in _ENDS.values():
        open_brackets.append(text)
    elif _ENDS.get(text) == innermost or (text == ")" and innermost == _INTERPOLATION):
        open_brackets.pop()


def _is_key(tokens: list[Token], index: int) -> bool:
    """Tell whether the name is the key of an object: `{env: 1}`, `{env}`, `{a: 1, env}`."""
    token = tokens[index]
    following = tokens[index + 1].text if index + 1 < len(tokens) else ""
    if token.text.startswith("$") or not index:
        return False
    if following == ":":
        return True
    before = tokens[index - 1]
    opens = before.text == "{" or (before.text == "," and before.within == "{")
    return token.within == "{" and opens and following in {",", "}"}
