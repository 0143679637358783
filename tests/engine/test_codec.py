"""Claims about packed states."""

import msgspec
import pytest

from engine.codec import FORMAT, FormatUnknown, pack, unpack
from engine.testing import Scenario
from tests.engine.building import fork, join, started, task


def _busy() -> Scenario:
    scenario = started(
        fork("f", [task("a"), task("a2")], [task("b")], [task("w", "WAIT", input_parameters={"duration": "1 day"})]),
        join("j", "a", "b"),
        given={"deep": [1, {"x": None}], "float": 1.5, "text": "ü"},
    )
    scenario.claim("a")
    scenario.fail("b")
    scenario.pause()
    scenario.complete("a", {"n": 1})
    return scenario


def test_unpack_of_pack_is_equal() -> None:
    """Tasks in every condition, counts, held ends: everything comes back."""
    state = _busy().state
    assert unpack(pack(state)) == state


def test_unpacked_state_decides_like_the_live_one() -> None:
    """An idle workflow that was packed goes on as if it never had been."""
    live, packed = _busy(), _busy()
    packed._state = unpack(pack(packed.state))  # noqa: SLF001 - what a shell does with a workflow at rest
    assert live.resume() == packed.resume()


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_pack_bears_integers_beyond_64_bits(number: int) -> None:
    """JSON has them, MessagePack does not: they are neither lost nor do they stop the partition."""
    state = started(task("a"), n=number).state
    again = unpack(pack(state))
    assert again == state
    assert again.started.input == {"n": number}


@pytest.mark.parametrize("damage", [b"", b"\x00", b"[", b"[1]", b"\xc1garbage"])
def test_unpack_of_garbage_says_so(damage: bytes) -> None:
    """Bytes that are no packed state are told from a defect of the program."""
    with pytest.raises(FormatUnknown):
        unpack(damage)


def test_unpack_of_another_format_says_so() -> None:
    """A snapshot of another release is not guessed at: the workflow is folded from the log instead."""
    fields = msgspec.msgpack.decode(pack(started(task("a")).state))
    assert fields[0] == FORMAT
    with pytest.raises(FormatUnknown, match=f"has format {FORMAT + 1}, this release reads {FORMAT}"):
        unpack(msgspec.msgpack.encode([FORMAT + 1, *fields[1:]]))


def test_pack_of_an_idle_workflow_is_small() -> None:
    """Three tasks, one of them open, fit into two kilobytes over their payload."""
    scenario = started(task("a"), task("b"), task("c"))
    scenario.complete("a")
    scenario.complete("b")
    assert len(pack(scenario.state)) <= 2_048
