"""The grammar of a query.

    query     = [ any ]
    any       = all { OR all }
    all       = term { AND term }
    term      = NOT term | "(" any ")" | condition
    condition = field ( op value | [NOT] IN "(" value { "," value } ")" | BETWEEN value AND value
                      | IS [NOT] NULL | STARTS_WITH value )

Holds the parser only. Must not know which fields there are. Keeps its depth and the number of conditions bounded,
whatever is asked. AND binds closer than OR. (Conductor's own parser reads from right to left without precedence; `a
AND b OR c` means `(a AND b) OR c` to everyone else.)

Source: conductor-common's query grammar of the Elasticsearch index, and the clauses that its UIs send.
"""

from typing import Final

from streams.history.search.lexer import Kind, Token, tokens_of
from streams.history.search.syntax import (
    AllOf,
    AnyOf,
    Between,
    Compare,
    Condition,
    FieldName,
    Literal,
    Missing,
    Node,
    Not,
    OneOf,
    Operator,
    StartsWith,
)
from streams.service import QueryInvalid

DEPTH_MAX: Final = 50
CONDITIONS_MAX: Final = 500
VALUES_MAX: Final = 5_000

_VALUE: Final = "a value (text in quotes, a word or a number)"
_AFTER_FIELD: Final = "=, !=, <, <=, >, >=, IN, BETWEEN, IS or STARTS_WITH"


def parse(query: str) -> Node | None:
    """Return the tree of a query, None for an empty one or `*`, which mean everything.

    Raises:
        QueryInvalid: the query does not fit the grammar; names the position, what was expected and what is there.
    """
    if query.strip() in {"", "*"}:
        return None
    return _Parser(tokens_of(query)).parse()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._conditions = 0
        self._values = 0

    def parse(self) -> Node:
        node = self._any(depth=0)
        if self._next.kind is not Kind.END:
            raise self._refusal("AND, OR or the end of the query")
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _any(self, *, depth: int) -> Node:
        terms = [self._all(depth=depth)]
        while self._took("OR"):
            terms.append(self._all(depth=depth))
        return terms[0] if len(terms) == 1 else AnyOf(terms=tuple(terms))

    def _all(self, *, depth: int) -> Node:
        terms = [self._term(depth=depth)]
        while self._took("AND"):
            terms.append(self._term(depth=depth))
        return terms[0] if len(terms) == 1 else AllOf(terms=tuple(terms))

    def _term(self, *, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self._refusal(f"at most {DEPTH_MAX} levels of brackets and NOT")
        if self._took("NOT"):
            return Not(term=self._term(depth=depth + 1))
        if self._next.kind is Kind.OPEN:
            self._place += 1
            inner = self._any(depth=depth + 1)
            self._expect(Kind.CLOSE, "AND, OR or )")
            return inner
        return self._condition()

    def _condition(self) -> Node:
        self._conditions += 1
        if self._conditions > CONDITIONS_MAX:
            raise self._refusal(f"at most {CONDITIONS_MAX} conditions")
        name = self._expect(Kind.WORD, "a field, NOT or (")
        field = FieldName(position=name.position, text=name.text)
        if self._took("NOT"):
            if not self._took("IN"):
                raise self._refusal("IN")
            return Not(term=self._one_of(field))
        return self._comparison(field)

    def _comparison(self, field: FieldName) -> Node:
        if self._next.kind is Kind.OPERATOR:
            operator = Operator(self._next.text)
            self._place += 1
            return Compare(field=field, operator=operator, value=self._value())
        if self._took("IN"):
            return self._one_of(field)
        if self._took("STARTS_WITH"):
            return StartsWith(field=field, value=self._value())
        if self._took("BETWEEN"):
            low = self._value()
            if not self._took("AND"):
                raise self._refusal("AND and the upper bound")
            return Between(field=field, low=low, high=self._value())
        if self._took("IS"):
            negated = self._took("NOT")
            if not self._took("NULL"):
                raise self._refusal("NULL" if negated else "NULL or NOT NULL")
            missing = Missing(field=field)
            return Not(term=missing) if negated else missing
        raise self._refusal(_AFTER_FIELD)

    def _one_of(self, field: FieldName) -> Condition:
        self._expect(Kind.OPEN, "( and a list of values")
        values = [self._value()]
        while self._next.kind is Kind.COMMA:
            self._place += 1
            values.append(self._value())
        self._expect(Kind.CLOSE, ", or )")
        return OneOf(field=field, values=tuple(values))

    def _value(self) -> Literal:
        token = self._next
        if token.kind not in {Kind.WORD, Kind.QUOTED}:
            raise self._refusal(_VALUE)
        self._values += 1
        if self._values > VALUES_MAX:
            raise self._refusal(f"at most {VALUES_MAX} values")
        self._place += 1
        return Literal(position=token.position, pieces=token.pieces)

    def _took(self, keyword: str) -> bool:
        token = self._next
        if token.kind is Kind.KEYWORD and token.text == keyword:
            self._place += 1
            return True
        return False

    def _expect(self, kind: Kind, expected: str) -> Token:
        token = self._next
        if token.kind is not kind:
            raise self._refusal(expected)
        self._place += 1
        return token

    def _refusal(self, expected: str) -> QueryInvalid:
        token = self._next
        found = "the end of the query" if token.kind is Kind.END else repr(token.text)
        hint = "; a value that is a keyword needs quotes" if token.kind is Kind.KEYWORD and expected == _VALUE else ""
        return QueryInvalid(f"position {token.position}: expected {expected}, found {found}{hint}")
