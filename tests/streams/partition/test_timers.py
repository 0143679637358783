"""When timers fire, and how much memory they take."""

from random import Random

from engine.ids import TaskSeq, WorkflowId
from streams.partition.timers import Timers

W1, W2 = WorkflowId("w1"), WorkflowId("w2")
ONE, TWO = TaskSeq(1), TaskSeq(2)


def test_no_timer_fires_before_its_instant() -> None:
    """A millisecond early is early."""
    timers = Timers()
    timers.arm(W1, ONE, 1_000)
    assert timers.pop_due(999, timers_max=10) == []
    assert timers.pop_due(1_000, timers_max=10) == [(W1, ONE)]
    assert timers.pop_due(9_999, timers_max=10) == []


def test_timers_fire_in_the_order_of_their_instants() -> None:
    """Earliest first, whatever the order in which they were armed."""
    timers = Timers()
    timers.arm(W2, ONE, 30)
    timers.arm(W1, TWO, 10)
    timers.arm(W1, ONE, 20)
    assert timers.pop_due(30, timers_max=10) == [(W1, TWO), (W1, ONE), (W2, ONE)]


def test_arming_again_replaces_an_earlier_and_a_later_instant() -> None:
    """An attempt has one timer: the last that was armed."""
    timers = Timers()
    timers.arm(W1, ONE, 10)
    timers.arm(W1, ONE, 50)
    assert timers.pop_due(49, timers_max=10) == []
    timers.arm(W1, ONE, 20)
    assert timers.next_due_at_ms() == 20
    assert timers.pop_due(60, timers_max=10) == [(W1, ONE)]
    assert len(timers) == 0


def test_a_timer_that_is_armed_anew_for_the_same_instant_fires_once() -> None:
    """Arm, disarm and arm leave no twin behind."""
    timers = Timers()
    for _ in range(3):
        timers.arm(W1, ONE, 10)
        timers.disarm(W1, ONE)
        timers.arm(W1, ONE, 10)
    assert timers.pop_due(10, timers_max=10) == [(W1, ONE)]
    assert timers.pop_due(10, timers_max=10) == []


def test_a_disarmed_timer_is_no_reason_to_wake() -> None:
    """The next instant is that of a timer in force."""
    timers = Timers()
    timers.arm(W1, ONE, 10)
    timers.arm(W2, ONE, 20)
    timers.disarm(W1, ONE)
    timers.disarm(W1, TWO)
    assert timers.next_due_at_ms() == 20
    timers.disarm(W2, ONE)
    assert timers.next_due_at_ms() is None


def test_no_more_than_asked_fire_at_once_and_the_rest_stays_due() -> None:
    """A turn is bounded, and nothing is lost by it."""
    timers = Timers()
    for number in range(5):
        timers.arm(W1, TaskSeq(number), 10)
    assert [len(timers.pop_due(10, timers_max=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_the_heap_is_bounded_by_the_timers_in_force() -> None:
    """A timer that is moved ten thousand times, and timers that are gone, take no room for long."""
    timers = Timers()
    for instant in range(10_000):
        timers.arm(W1, ONE, instant)
    assert len(timers._heap) <= 2 * 1 + 1_024 + 1  # noqa: SLF001 - the bound is about the inside
    for number in range(10_000):
        timers.arm(W2, TaskSeq(number), 5)
    for number in range(10_000):
        timers.disarm(W2, TaskSeq(number))
    assert len(timers) == 1
    assert len(timers._heap) <= 2 * 1 + 1_024 + 1  # noqa: SLF001 - likewise


def test_timers_agree_with_a_list_that_is_searched() -> None:
    """Ten thousand random operations fire what the plainest implementation fires."""
    rng = Random(7)
    timers, plain = Timers(), dict[tuple[WorkflowId, TaskSeq], int]()
    now_ms = 0
    for _ in range(10_000):
        key = (rng.choice((W1, W2)), TaskSeq(rng.randrange(20)))
        match rng.randrange(4):
            case 0 | 1:
                plain[key] = now_ms + rng.randrange(100)
                timers.arm(*key, plain[key])
            case 2:
                plain.pop(key, None)
                timers.disarm(*key)
            case _:
                now_ms += rng.randrange(20)
                due = sorted((due_ms, *found) for found, due_ms in plain.items() if due_ms <= now_ms)
                assert timers.pop_due(now_ms, timers_max=1_000) == [(found[1], found[2]) for found in due]
                for found in due:
                    del plain[found[1], found[2]]
        assert timers.next_due_at_ms() == min(plain.values(), default=None)
        assert len(timers) == len(plain)
