"""The grammar of simple expressions: from the text to a frozen tree.

Holds tokens, nodes and the parser. Must not evaluate. Keeps the invariant that whatever is accepted here
means the same in JavaScript: everything else (calls, assignments, statements, comments, templates, names
other than `$`) is refused with `NotSimple`.

    conditional    = or [ "?" conditional ":" conditional ]
    or             = and { "||" and }
    and            = equality { "&&" equality }
    equality       = relation { ("==" | "!=" | "===" | "!==") relation }
    relation       = sum { ("<" | ">" | "<=" | ">=") sum }
    sum            = product { ("+" | "-") product }
    product        = unary { ("*" | "/" | "%") unary }
    unary          = ("!" | "-" | "+") unary | member
    member         = primary { "." name | "[" (string | number) "]" }
    primary        = "$" | string | number | "true" | "false" | "null" | "undefined" | "(" conditional ")"
"""

import re
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

SOURCE_CHARS_MAX: Final = 4_000
NODES_MAX: Final = 200
"""Evaluation follows the tree recursively: this keeps it well within Python's stack."""
DEPTH_MAX: Final = 40
"""Of parentheses, signs and conditionals in one another; each costs the parser ten frames."""
_CACHED_PROGRAMS: Final = 4_096
_KEY_DIGITS_MAX: Final = 15
"""Of a list position: what is longer JavaScript rounds before it is used as a key."""

INHERITED_BY_ALL: Final = frozenset(
    {
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)
"""What every JavaScript value has by itself. Source: ECMA-262, properties of Object.prototype."""


class NotSimple(ValueError):
    """An expression is outside the grammar that is evaluated in process. The message says where and why."""


class Undefined(msgspec.Struct, frozen=True):
    """JavaScript's `undefined`. There is one value of this type."""


UNDEFINED: Final = Undefined()


class Literal(msgspec.Struct, frozen=True, kw_only=True):
    """A text, number (always a float, as in JavaScript), boolean, null or undefined."""

    value: str | float | bool | Undefined | None


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """`$`: the document."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A property of a value; list positions are properties with numerals as names."""

    target: "Node"
    name: str


class Unary(msgspec.Struct, frozen=True, kw_only=True):
    """`!`, `-` or `+` before a value."""

    operator: str
    operand: "Node"


class Binary(msgspec.Struct, frozen=True, kw_only=True):
    """An operator that needs both of its values."""

    operator: str
    left: "Node"
    right: "Node"


class Logical(msgspec.Struct, frozen=True, kw_only=True):
    """`&&` or `||`: the right side is evaluated only where it decides."""

    operator: str
    left: "Node"
    right: "Node"


class Conditional(msgspec.Struct, frozen=True, kw_only=True):
    """`test ? then : otherwise`."""

    test: "Node"
    then: "Node"
    otherwise: "Node"


Node: TypeAlias = Literal | Root | Member | Unary | Binary | Logical | Conditional

_BINARY_LEVELS: Final = (
    frozenset({"==", "!=", "===", "!=="}),
    frozenset({"<", ">", "<=", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_WORDS: Final[dict[str, bool | Undefined | None]] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": UNDEFINED,
}

# Operators are matched as JavaScript would, longest first, also those that are refused afterwards: `a ** b`
# must not be read as `a * (* b)`, nor `x <!-- y` (a comment) as a comparison. `?.` before a digit is a `?`.
_TOKEN: Final = re.compile(
    r"""[\t\v\f \u00a0\ufeff\n\r\u2028\u2029]*(?:
        (?P<number>0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<string>'(?:[^'\\\n\r]|\\.)*'|"(?:[^"\\\n\r]|\\.)*")
      | (?P<operator>>>>=|<!--|===|!==|\*\*=|<<=|>>=|>>>|&&=|\|\|=|\?\?=|\.\.\.
          |=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.(?!\d)|\+\+|--|\*\*|<<|>>|\+=|-=|\*=|/=|%=|&=|\|=|\^=|//|/\*|.)
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE: Final = re.compile(
    r"\\(?:x(?P<byte>[0-9a-fA-F]{2})|u(?P<unit>[0-9a-fA-F]{4})|u\{(?P<point>[0-9a-fA-F]{1,6})\}|(?P<other>.))",
    re.DOTALL,
)
_POINT_MAX: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)
_ESCAPED_CHARS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


@lru_cache(maxsize=_CACHED_PROGRAMS)
def parse(source: str) -> Node:
    """Return the tree of an expression.

    Raises:
        NotSimple: the text is not JavaScript, or more of it than is evaluated in process.
    """
    if len(source) > SOURCE_CHARS_MAX:
        raise NotSimple(f"simple expressions have at most {SOURCE_CHARS_MAX} characters, this one has {len(source)}")
    return _Parser(source).program()


class _Parser:
    """Recursive descent over the tokens of one source."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._depth = 0
        self._nodes = 0
        self._kind = ""
        self._text = ""
        self._start = 0
        self._advance()

    def program(self) -> Node:
        node = self._conditional()
        if self._text == ";" and self._kind == "operator":
            self._advance()
        if self._kind != "end":
            raise self._refused("the end of the expression")
        return node

    def _advance(self) -> None:
        found = _TOKEN.match(self._source, self._position)
        if found is None or found.lastgroup is None:
            raise NotSimple(f"character {self._position + 1} of {self._source!r} cannot be read")
        self._kind, self._text = found.lastgroup, found.group(found.lastgroup)
        self._start, self._position = found.start(found.lastgroup), found.end()

    def _refused(self, expected: str) -> NotSimple:
        found = repr(self._text) if self._kind != "end" else "the end"
        return NotSimple(f"expected {expected} at character {self._start + 1} of {self._source!r}, found {found}")

    def _at(self, operator: str) -> bool:
        return self._kind == "operator" and self._text == operator

    def _accept(self, operator: str) -> bool:
        if self._at(operator):
            self._advance()
            return True
        return False

    def _expect(self, operator: str) -> None:
        if not self._accept(operator):
            raise self._refused(repr(operator))

    def _node(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise NotSimple(f"simple expressions have at most {NODES_MAX} operators and values: {self._source[:80]!r}…")
        return node

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise NotSimple(f"simple expressions are nested at most {DEPTH_MAX} deep: {self._source[:80]!r}…")

    def _conditional(self) -> Node:
        self._descend()
        node = self._either()
        if self._accept("?"):
            then = self._conditional()
            self._expect(":")
            node = self._node(Conditional(test=node, then=then, otherwise=self._conditional()))
        self._depth -= 1
        return node

    def _either(self) -> Node:
        node = self._both()
        while self._accept("||"):
            node = self._node(Logical(operator="||", left=node, right=self._both()))
        return node

    def _both(self) -> Node:
        node = self._binary(0)
        while self._accept("&&"):
            node = self._node(Logical(operator="&&", left=node, right=self._binary(0)))
        return node

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY_LEVELS):
            return self._unary()
        node = self._binary(level + 1)
        while self._kind == "operator" and self._text in _BINARY_LEVELS[level]:
            operator = self._text
            self._advance()
            node = self._node(Binary(operator=operator, left=node, right=self._binary(level + 1)))
        return node

    def _unary(self) -> Node:
        if not (self._at("!") or self._at("-") or self._at("+")):
            return self._member()
        operator = self._text
        self._descend()
        self._advance()
        node = self._node(Unary(operator=operator, operand=self._unary()))
        self._depth -= 1
        return node

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._accept("."):
                if self._kind != "word":
                    raise self._refused("a name")
                name = self._text
            elif self._accept("["):
                name = self._key()
                if not self._at("]"):
                    raise self._refused("']' (keys in brackets are single texts or numbers)")
            else:
                return node
            if name in INHERITED_BY_ALL:
                raise NotSimple(f"{name!r} in {self._source!r} is a built-in of JavaScript")
            self._advance()
            node = self._node(Member(target=node, name=name))

    def _key(self) -> str:
        if self._kind == "string":
            key = _text_of(self._text, self._source)
        elif self._kind == "number" and self._text.isdigit() and len(self._text) <= _KEY_DIGITS_MAX:
            key = self._text
        else:
            raise self._refused("a text or a whole number as key")
        self._check_number_end()
        self._advance()
        return key

    def _primary(self) -> Node:
        kind, text = self._kind, self._text
        if kind == "word":
            if text == "$":
                self._advance()
                return self._node(Root())
            if text not in _WORDS:
                raise self._refused("a value ('$' is the only name)")
            self._advance()
            return self._node(Literal(value=_WORDS[text]))
        if kind == "number":
            self._check_number_end()
            self._advance()
            return self._node(Literal(value=_number_of(text)))
        if kind == "string":
            self._advance()
            return self._node(Literal(value=_text_of(text, self._source)))
        if self._accept("("):
            node = self._conditional()
            self._expect(")")
            return node
        raise self._refused("a value")

    def _check_number_end(self) -> None:
        """Refuse what JavaScript refuses or reads otherwise: `3px`, `5n`, `1_000`, `010`."""
        following = self._source[self._position : self._position + 1]
        if self._kind == "number" and (following.isalnum() or following in {"_", "$", "\\"} or not following.isascii()):
            raise NotSimple(f"the number at character {self._start + 1} of {self._source!r} cannot be read")


def _number_of(text: str) -> float:
    prefix = text[:2].lower()
    if prefix in {"0x", "0o", "0b"}:
        try:
            return float(int(text, 0))
        except OverflowError:
            return float("inf")
    return float(text)


def _text_of(token: str, source: str) -> str:
    """Return the text that a quoted token spells."""
    if "\\" not in token:
        return token[1:-1]

    def replaced(found: re.Match[str]) -> str:
        if digits := found["byte"] or found["unit"] or found["point"]:
            point = int(digits, 16)
            if point > _POINT_MAX or point in _SURROGATES:
                raise NotSimple(f"the escape {found.group()!r} in {source!r} is no character")
            return chr(point)
        char = found["other"]
        following = token[found.end() : found.end() + 1]
        if char in "123456789xu\u2028\u2029" or (char == "0" and following.isdigit()):
            raise NotSimple(f"the escape {found.group()!r} in {source!r} cannot be read")
        return _ESCAPED_CHARS.get(char, char)

    return _ESCAPE.sub(replaced, token[1:-1])
