"""What a limiter decides: given these events, when that is asked, then this follows."""

from collections.abc import Sequence

import pytest

from engine.commands import FireTimer
from engine.context import DecideContext
from engine.definitions import TaskDef, WorkflowDef
from engine.ids import TaskId, TaskSeq, WorkflowId
from engine.limiter.applier import fold
from engine.limiter.codec import pack, unpack
from engine.limiter.commands import AcquireSlot, LimiterCommand, NoteSlotStart, ReleaseSlot, ReviewLimits
from engine.limiter.decider import decide
from engine.limiter.events import (
    LimiterClosed,
    LimiterEvent,
    LimiterOpened,
    LimitsSet,
    SlotFreed,
    SlotGranted,
    SlotQueued,
    SlotRefused,
    SlotStarted,
)
from engine.limiter.ids import LimiterId, is_limiter_id, limiter_id
from engine.limiter.limits import Limits, LimitSource
from engine.limiter.model import IDLE_MS, LimiterState
from engine.shelf import Shelf

KEY = limiter_id("task", "encode")
SOURCE = LimitSource(kind="task", name="encode")
NOW_MS = 1_000_000


class Limiter:
    """A limiter, its log, and a clock that moves when told."""

    def __init__(self, limits: Limits, *definitions: TaskDef | WorkflowDef, source: LimitSource = SOURCE) -> None:
        """Begin with a limiter that nobody has asked."""
        self.limits = limits
        self.source = source
        self.shelf = Shelf()
        self.shelf.add(*definitions)
        self.now_ms = NOW_MS
        self.events: list[LimiterEvent] = []
        self.state: LimiterState | None = None

    def when(self, command: LimiterCommand | FireTimer) -> tuple[LimiterEvent, ...]:
        """Decide, and check that the state is the fold of the log and survives packing."""
        context = DecideContext(now_ms=self.now_ms, definitions=self.shelf)
        decision = decide(self.state, command, context)
        assert decision == decide(self.state, command, context)
        self.events.extend(decision.events)
        self.state = decision.state
        assert self.state == fold(self.events)
        assert self.state is None or unpack(pack(self.state)) == self.state
        return decision.events

    def ask(self, holder: str, *, priority: int = 0, or_refuse: bool = False) -> tuple[LimiterEvent, ...]:
        """Ask for a slot."""
        return self.when(
            AcquireSlot(
                limiter_id=KEY, holder=TaskId(holder), limits=self.limits, source=self.source,
                priority=priority, or_refuse=or_refuse,
            )
        )  # fmt: skip

    def release(self, holder: str, *, used: bool = True) -> tuple[LimiterEvent, ...]:
        """Give a slot back."""
        return self.when(ReleaseSlot(limiter_id=KEY, holder=TaskId(holder), used=used))

    def start(self, holder: str) -> tuple[LimiterEvent, ...]:
        """Say that a holder has begun."""
        return self.when(NoteSlotStart(limiter_id=KEY, holder=TaskId(holder)))

    def fire(self) -> tuple[LimiterEvent, ...]:
        """Look at the time."""
        return self.when(FireTimer(workflow_id=WorkflowId(KEY), task_seq=TaskSeq(0)))

    def held(self) -> set[str]:
        """Return who holds a slot."""
        return set() if self.state is None else set(self.state.held)


def kinds(events: Sequence[LimiterEvent]) -> list[type]:
    """Return the types of events."""
    return [type(event) for event in events]


def granted(events: Sequence[LimiterEvent]) -> list[str]:
    """Return who is given a slot."""
    return [event.holder for event in events if isinstance(event, SlotGranted)]


# ---- concurrency


def test_first_request_opens_the_limiter_and_is_granted() -> None:
    """Nothing is remembered of a limiter before somebody asks it."""
    assert kinds(Limiter(Limits(at_once=1)).ask("w~1")) == [LimiterOpened, SlotGranted]


def test_request_beyond_the_limit_waits() -> None:
    """The limit is never passed by one."""
    limiter = Limiter(Limits(at_once=2))
    for number in range(5):
        limiter.ask(f"w~{number}")
    assert limiter.held() == {"w~0", "w~1"}
    assert kinds(limiter.ask("w~9")) == [SlotQueued]


def test_freed_slot_is_given_in_the_same_decision() -> None:
    """No poll, no pause: the release that frees it grants it."""
    limiter = Limiter(Limits(at_once=1))
    limiter.ask("w~1")
    limiter.ask("w~2")
    events = limiter.release("w~1")
    assert kinds(events) == [SlotFreed, SlotGranted]
    assert granted(events) == ["w~2"]


def test_those_who_wait_are_served_by_priority_then_in_order() -> None:
    """First in, first out, among equals."""
    limiter = Limiter(Limits(at_once=1))
    limiter.ask("w~0")
    for holder, priority in (("a~1", 0), ("b~1", 5), ("c~1", 5), ("d~1", 0)):
        limiter.ask(holder, priority=priority)
    assert limiter.state is not None
    assert [limiter.state.place_of(TaskId(f"{name}~1")) for name in "abcd"] == [2, 0, 1, 3]
    served = [granted(limiter.release(holder))[0] for holder in ("w~0", "b~1", "c~1", "a~1")]
    assert served == ["b~1", "c~1", "a~1", "d~1"]


def test_who_no_longer_waits_is_not_served() -> None:
    """Its place is empty, wherever in the line it was."""
    limiter = Limiter(Limits(at_once=1))
    for number in range(4):
        limiter.ask(f"w~{number}")
    assert kinds(limiter.release("w~1", used=False)) == [SlotFreed]
    assert kinds(limiter.release("w~3", used=False)) == [SlotFreed]
    assert granted(limiter.release("w~0")) == ["w~2"]


@pytest.mark.parametrize("holder", ["w~1", "w~2"])
def test_request_that_comes_twice_changes_nothing(holder: str) -> None:
    """Whether it has a slot or waits for one."""
    limiter = Limiter(Limits(at_once=1))
    limiter.ask("w~1")
    limiter.ask("w~2")
    assert limiter.ask(holder) == ()


def test_release_that_comes_twice_or_for_nothing_changes_nothing() -> None:
    """A slot is given back once."""
    limiter = Limiter(Limits(at_once=1))
    assert limiter.release("w~1") == ()
    limiter.ask("w~1")
    limiter.release("w~1")
    assert limiter.release("w~1") == ()
    assert limiter.start("w~1") == ()


def test_holder_that_cannot_be_answered_gets_nothing() -> None:
    """Anybody may write to the topic; what names no attempt does not take a slot for ever."""
    assert Limiter(Limits(at_once=1)).ask("nonsense") == ()


def test_request_that_would_not_wait_is_refused_with_a_reason() -> None:
    """It gets a slot now or none."""
    limiter = Limiter(Limits(at_once=1))
    assert granted(limiter.ask("w~1", or_refuse=True)) == ["w~1"]
    (refused,) = limiter.ask("v~1", or_refuse=True)
    assert isinstance(refused, SlotRefused)
    assert "1 of 1 slots of #task:encode are taken" in refused.reason
    assert granted(limiter.release("w~1")) == []


# ---- limits that change


def test_raised_limit_serves_those_who_wait() -> None:
    """As soon as the limiter looks at the definition."""
    limiter = Limiter(Limits(at_once=1), TaskDef(name="encode", concurrent_exec_limit=1))
    for number in range(4):
        limiter.ask(f"w~{number}")
    limiter.shelf.add(TaskDef(name="encode", concurrent_exec_limit=3))
    events = limiter.when(ReviewLimits(limiter_id=KEY))
    assert kinds(events) == [LimitsSet, SlotGranted, SlotGranted]
    assert granted(events) == ["w~1", "w~2"]


def test_lowered_limit_is_reached_by_what_ends() -> None:
    """Nobody loses a slot; nobody gets one before enough have come back."""
    limiter = Limiter(Limits(at_once=3), TaskDef(name="encode", concurrent_exec_limit=3))
    for number in range(5):
        limiter.ask(f"w~{number}")
    limiter.shelf.add(TaskDef(name="encode", concurrent_exec_limit=1))
    assert kinds(limiter.release("w~0")) == [SlotFreed, LimitsSet]
    assert granted(limiter.release("w~1")) == []
    assert granted(limiter.release("w~2")) == ["w~3"]


def test_removed_limit_lets_everybody_go() -> None:
    """A definition without limits has none, whatever those say who asked under the old one."""
    limiter = Limiter(Limits(at_once=1), TaskDef(name="encode", concurrent_exec_limit=1))
    limiter.ask("w~1")
    limiter.ask("w~2")
    limiter.shelf.add(TaskDef(name="encode"))
    assert granted(limiter.when(ReviewLimits(limiter_id=KEY))) == ["w~2"]
    assert granted(limiter.ask("w~3")) == ["w~3"]


def test_workflow_limit_is_that_of_the_version_that_asked_last() -> None:
    """The limiter of a key belongs to the workflow's name; each version may say another number."""
    config = {"rateLimitKey": "all", "concurrentExecLimit": 2}
    flow = WorkflowDef(name="flow", version=2, rate_limit_config=config)
    limiter = Limiter(Limits(at_once=1), flow, source=LimitSource(kind="workflow", name="flow", version=2))
    limiter.ask("a~1")
    assert granted(limiter.ask("b~1")) == ["b~1"]


# ---- rates


def test_only_so_many_begin_within_the_window() -> None:
    """The window slides: a beginning counts for as long as it lasts, from the beginning itself."""
    limiter = Limiter(Limits(starts=2, window_ms=10_000))
    for number in range(3):
        limiter.ask(f"w~{number}")
    assert limiter.held() == {"w~0", "w~1"}
    limiter.now_ms += 3_000  # granted, but not begun: that is no time of the window
    limiter.start("w~0")
    limiter.now_ms += 1_000
    limiter.start("w~1")
    assert limiter.state is not None
    assert limiter.state.next_look_ms() == NOW_MS + 13_000
    limiter.now_ms = NOW_MS + 12_999
    assert limiter.fire() == ()
    limiter.now_ms = NOW_MS + 13_000
    assert granted(limiter.fire()) == ["w~2"]


def test_end_does_not_shorten_the_window() -> None:
    """What began counts, however short it was."""
    limiter = Limiter(Limits(starts=1, window_ms=10_000))
    limiter.ask("w~1")
    assert kinds(limiter.start("w~1")) == [SlotStarted]
    limiter.ask("w~2")
    assert granted(limiter.release("w~1")) == []
    limiter.now_ms += 10_000
    assert granted(limiter.fire()) == ["w~2"]


def test_slot_that_may_have_been_used_unnoticed_counts_from_its_end() -> None:
    """Rather too late than one too many."""
    limiter = Limiter(Limits(starts=1, window_ms=10_000))
    limiter.ask("w~1")
    limiter.ask("w~2")
    limiter.now_ms += 4_000
    assert granted(limiter.release("w~1", used=True)) == []
    limiter.now_ms += 10_000
    assert granted(limiter.fire()) == ["w~2"]


def test_slot_that_was_never_used_does_not_count() -> None:
    """Whoever gave up before it was told so has begun nothing."""
    limiter = Limiter(Limits(starts=1, window_ms=10_000))
    limiter.ask("w~1")
    limiter.ask("w~2")
    assert granted(limiter.release("w~1", used=False)) == ["w~2"]


# ---- life


def test_idle_limiter_is_closed() -> None:
    """Keys may be many; what nobody needs is not held."""
    limiter = Limiter(Limits(at_once=1))
    limiter.ask("w~1")
    limiter.release("w~1")
    assert limiter.state is not None
    assert limiter.state.next_look_ms() == NOW_MS + IDLE_MS
    limiter.now_ms += IDLE_MS
    assert kinds(limiter.fire()) == [LimiterClosed]
    assert limiter.held() == set()
    assert kinds(limiter.ask("w~2")) == [LimiterOpened, SlotGranted]


@pytest.mark.parametrize("name", ["encode", "a name with spaces", "x" * 300, "ä", "a@b", "~fence~1"])
def test_id_names_one_thing_and_holds_nothing_that_keys_mean(name: str) -> None:
    """A name that cannot be in an id stands there as its hash; two things never share an id."""
    made = limiter_id("task", name)
    assert is_limiter_id(made)
    assert "~" not in made
    assert len(made) < 200
    assert (
        len({made, limiter_id("workflow", name), limiter_id("embedded", name), limiter_id("workflow", name, "k")}) == 4
    )


def test_workflow_ids_are_no_limiters() -> None:
    """The two live in the same topics."""
    assert not is_limiter_id("encode")
    assert not is_limiter_id("#nonsense:encode")
    assert isinstance(LimiterId("#task:x"), str)
