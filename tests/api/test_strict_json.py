"""What `api.wire.strict_json` takes and refuses."""

import orjson
import pytest

from api.wire.strict_json import DEPTH_MAX, JsonInvalid, depth_of, parse

REFUSED = {
    "nothing": b"",
    "only_blanks": b"  ",
    "not_a_number": b'{"a": NaN}',
    "infinity": b'{"a": Infinity}',
    "minus_infinity": b"[-Infinity]",
    "a_float_beyond_the_largest": b"[1e400]",
    "an_integer_beyond_64_bits": b'{"a": 18446744073709551616}',
    "an_integer_below_64_bits": b'{"a": -9223372036854775809}',
    "an_integer_of_a_million_digits": b"[" + b"9" * 1_000_000 + b"]",
    "half_a_surrogate_pair": rb'{"a": "\ud800"}',
    "the_wrong_half_first": rb'{"a": "\udc00\ud800"}',
    "a_surrogate_in_utf8": b'{"a": "\xed\xa0\x80"}',
    "bytes_that_are_not_utf8": b'{"a": "\xff"}',
    "utf16": '{"a": 1}'.encode("utf-16"),
    "a_byte_order_mark": b"\xef\xbb\xbf{}",
    "single_quotes": b"{'a': 1}",
    "a_trailing_comma": b'{"a": 1,}',
    "a_comment": b'{"a": 1} // done',
    "two_documents": b"{} {}",
    "a_cut_document": b'{"a": [1, 2',
    "a_leading_zero": b'{"a": 01}',
    "a_control_character_in_a_text": b'{"a": "\x01"}',
    "too_many_levels_of_lists": b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
    "too_many_levels_of_objects": b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
    "a_hundred_thousand_levels": b"[" * 100_000 + b"]" * 100_000,
    "a_hundred_thousand_opening_brackets": b"[" * 100_000,
}

TAKEN = {
    "the_largest_integer": (b"18446744073709551615", 2**64 - 1),
    "the_smallest_integer": (b"-9223372036854775808", -(2**63)),
    "nineteen_digits_in_a_text": (b'{"a": "12345678901234567890123"}', {"a": "12345678901234567890123"}),
    "many_digits_after_the_point": (b"0.12345678901234567890123", 0.12345678901234568),
    "a_surrogate_pair": (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
    "an_escaped_zero": (rb'"\u0000"', "\0"),
    "the_last_of_equal_keys": (b'{"a": 1, "a": 2}', {"a": 2}),
    "as_many_levels_as_allowed": (
        b"[" * DEPTH_MAX + b"]" * DEPTH_MAX,
        orjson.loads(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX),
    ),
    "many_brackets_on_one_level": (b"[" + b"[]," * 500 + b"[]]", [[] for _ in range(501)]),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_parse_refuses(body: bytes) -> None:
    """What no later reader could be trusted with is refused, with words."""
    with pytest.raises(JsonInvalid) as refused:
        parse(body)
    assert str(refused.value)


@pytest.mark.parametrize(("body", "value"), TAKEN.values(), ids=TAKEN)
def test_parse_takes(body: bytes, value: object) -> None:
    """What JSON allows and the log can hold is taken unchanged."""
    assert parse(body) == value


def test_parse_names_the_integer_that_does_not_fit() -> None:
    """The message says which number, and what to do with it."""
    with pytest.raises(JsonInvalid, match=r"64 bits.*has 99999999999999999999.*as a text"):
        parse(b'{"id": 99999999999999999999}')


def test_depth_counts_the_deepest_branch() -> None:
    """Depth is that of the innermost value, whatever stands beside it."""
    assert depth_of({"a": [1, {"b": []}], "c": 2}) == 4
    assert depth_of("text") == 0
