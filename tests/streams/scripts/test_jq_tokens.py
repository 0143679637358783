"""Claims about the scan of jq programs: no name that reaches outside gets past it."""

import json
import random

import jq
import pytest

from streams.scripts.jq_tokens import JqUnclear, asks_for_time, refusal_of, tokens_of
from streams.scripts.limits import FORBIDDEN

SENTINEL = "the-environment-was-read"
PROGRAMS = 20_000
# What the generator puts together: enough of jq's lexical grammar that texts, comments and brackets run into each
# other in every way, and the two ways to read the environment in all of them.
PIECES = [
    *("env", "$ENV", "env", "$ENV", ".env", '."env"', "{env}", "{env: 1}", "{a: env}", "{a: 1, env}", "{$ENV}"),
    *(
        '"',
        '"',
        '"',
        "\\(",
        "\\(",
        ")",
        ")",
        '\\"',
        "\\\\",
        "(",
        "[",
        "]",
        "{",
        "}",
        "#",
        "# env",
        "\n",
        "\r\n",
        "\\\n",
    ),
    *("if", "then", "end", "else", "{if: 1}", "{end}", ":", ",", "|", "|", ".", "..", " ", "1", "1.", ".5", "$", "::"),
    *("@json", "as $x", "def f:", ";", "a", '"x"', '"\\(1)"', '"\\("y")"', "reduce", "?", "//", "not", "empty"),
]


def _refused(source: str) -> bool:
    try:
        return refusal_of(tokens_of(source)) is not None
    except JqUnclear:
        return True


@pytest.mark.parametrize(
    "source",
    [
        "env",
        "$ENV",
        "$ENV.PATH",
        ". | env.HOME",
        "[env]",
        '"\\(env)"',
        '"a\\("b\\(env)")"',
        '@base64 "\\($ENV.X)"',
        "{a: env}",
        "{(env): 1}",
        "{a: 1 | env}",
        "{$ENV}",
        "{a: (1, env)}",
        "{a: [1, env]}",
        "{a: if 1, env, 2 then 1 else 2 end}",
        '"\\({if: 1})" | env | "x"',
        '"\\({a: if . then 1 else 2 end})" | env | "x"',
        "a::env",
        "1env",
        "..env",
        "1.env",
        'import "a" as a; .',
        'include "a"; .',
        "input",
        "[inputs]",
        "debug",
        "stderr",
        "halt",
        '"x" | halt_error',
        "get_search_list",
        "modulemeta",
        "input_filename",
        "# \\\n env",
        "# a \r env",
        ". \0 env",
        "def f(env): env; f(1)",
        "def env: 1; env",
        '"#" | env',
        '"\\\\" | env',
        "# comment\nenv",
        "# comment\r\nenv",
    ],
)
def test_program_that_reaches_outside_is_refused(source: str) -> None:
    """A name counts wherever jq would call it."""
    assert _refused(source)


@pytest.mark.parametrize(
    "source",
    [
        ".env",
        '."env"',
        '.["input"]',
        ".a.debug?",
        "{env: 1}",
        "{env}",
        "{input, halt}",
        "{a: 1, env}",
        "{a: 1, env: .x}",
        '{"a": .b, input}',
        ". as {env: $x} | $x",
        ". as $env | $env",
        "{if: 1, a: .if}",
        "{a: if . then 1 else 2 end, env}",
        '"env \\" env"',
        '"env # env"',
        "# env",
        ". # env\n",
        '"\\(.env)"',
        "environment",
        "my_env",
        "debugger",
        "@json",
    ],
)
def test_program_that_only_spells_such_a_name_is_not_refused(source: str) -> None:
    """Fields, keys, variables, texts and comments may be called anything."""
    assert not _refused(source)


def test_refusal_names_the_place_and_the_reason() -> None:
    """The author reads which name, on which line, and why not."""
    refusal = refusal_of(tokens_of('.a\n| "\n" # env\n| env.HOME'))

    assert refusal is not None
    assert (refusal.kind, refusal.line) == (FORBIDDEN, 4)
    assert "env is not available in a workflow: it reads the environment" in refusal.message


@pytest.mark.parametrize(
    ("source", "asks"),
    [("now", True), ('"\\(now)"', True), (".now", False), ('"now"', False), ("# now", False), ("nowhere", False)],
)
def test_programs_that_ask_for_the_time_are_known(source: str, *, asks: bool) -> None:
    """They get the time of the job."""
    assert asks_for_time(tokens_of(source)) is asks


def test_no_program_that_passes_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random programs from jq's whole lexical grammar: what the scan lets pass, jq runs without reading anything."""
    monkeypatch.setenv("PODIUM_SENTINEL", SENTINEL)
    chance = random.Random(20_260)
    passed = read = 0
    for _ in range(PROGRAMS):
        source = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 9)))
        try:
            results = jq.compile(source).input_value({"if": 1}).all()
        except ValueError:
            continue
        if SENTINEL in json.dumps(results):
            read += 1
            assert _refused(source), source
        else:
            passed += 1

    # Otherwise the generator would prove nothing.
    assert read > 200
    assert passed > 500
