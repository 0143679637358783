"""Random askers, doubles, losses and pauses against one limiter: never over, in order, nothing kept."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.definitions import TaskDef
from engine.limiter.events import LimiterOpened, LimitsSet, SlotFreed, SlotGranted, SlotQueued, SlotStarted
from engine.limiter.limits import Limits
from tests.engine.limiter.test_decider import Limiter

WINDOW_MS = 1_000

_moves = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "release", "release", "start", "start", "fire", "wait", "define"]),
        st.integers(0, 9),
        st.integers(0, 2),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(moves=_moves, at_once=st.integers(0, 3), starts=st.integers(0, 2))
def test_never_over_in_order_and_nothing_leaks(moves: list[tuple[str, int, int]], at_once: int, starts: int) -> None:
    """Every command may come twice, late or for nothing; in the end everybody has been served."""
    limiter = Limiter(Limits(), TaskDef(name="encode", concurrent_exec_limit=at_once))
    for kind, number, extra in moves:
        holder = f"w~{number}"
        match kind:
            case "ask":
                limiter.ask(holder, priority=extra)
            case "release":
                limiter.release(holder)
            case "start":
                limiter.start(holder)
            case "fire":
                limiter.fire()
            case "wait":
                limiter.now_ms += 300 * (extra + 1)
            case _:
                limiter.shelf.add(
                    TaskDef(
                        name="encode", concurrent_exec_limit=extra + 1, rate_limit_per_frequency=starts,
                        rate_limit_frequency_in_seconds=1,
                    )
                )  # fmt: skip
        _check_order(limiter)
    _serve_all(limiter)
    assert limiter.state is None or not (limiter.state.held or limiter.state.waiting or limiter.state.lanes)


@settings(max_examples=100, deadline=None)
@given(moves=_moves, starts=st.integers(1, 3))
def test_no_window_has_more_beginnings_than_the_rate_says(moves: list[tuple[str, int, int]], starts: int) -> None:
    """Looked at from every beginning, `starts` and no more lie within the window before it."""
    limiter = Limiter(Limits(starts=starts, window_ms=WINDOW_MS))
    begun: list[int] = []
    for kind, number, extra in moves:
        match kind:
            case "ask":
                limiter.ask(f"w~{number}", priority=extra)
            case "release":
                limiter.release(f"w~{number}")
            case "start":
                events = limiter.start(f"w~{number}")
                begun.extend(event.at_ms for event in events if isinstance(event, SlotStarted))
            case "fire":
                limiter.fire()
            case _:
                limiter.now_ms += 300 * (extra + 1)
    for at_ms in begun:
        assert sum(at_ms - WINDOW_MS < other <= at_ms for other in begun) <= starts


def _check_order(limiter: Limiter) -> None:
    """Replay the log by hand: each grant goes to the smallest of those who wait, and only where there is room."""
    held: set[str] = set()
    at_once = 0
    waiting: dict[str, tuple[int, int]] = {}
    arrivals = Counter[str]()
    for event in limiter.events:
        match event:
            case SlotQueued():
                arrivals["all"] += 1
                waiting[event.holder] = (-event.priority, arrivals["all"])
            case SlotGranted():
                assert not waiting or min(waiting, key=waiting.__getitem__) == event.holder
                waiting.pop(event.holder, None)
                assert not at_once or len(held) < at_once
                held.add(event.holder)
            case SlotFreed():
                waiting.pop(event.holder, None)
                held.discard(event.holder)
            case LimiterOpened() | LimitsSet():
                at_once = event.limits.at_once
            case _:
                pass


def _serve_all(limiter: Limiter) -> None:
    """Let everybody who holds a slot begin and end, until nobody waits."""
    for _ in range(200):
        state = limiter.state
        if state is None or not (state.held or state.waiting):
            return
        for holder in list(state.held):
            limiter.start(holder)
            limiter.release(holder)
        due_at_ms = None if limiter.state is None else limiter.state.next_look_ms()
        if due_at_ms is not None:
            limiter.now_ms = max(limiter.now_ms, due_at_ms)
            limiter.fire()
    raise AssertionError(f"somebody waits for ever: {limiter.state}")
