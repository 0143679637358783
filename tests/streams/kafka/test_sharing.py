"""How partitions are shared: claims about the arithmetic, without a broker."""

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.sharing import Claim, share


def settle(partitions: int, owned: dict[str, frozenset[int]]) -> dict[str, frozenset[int]]:
    """Let the members join again, as they do after they have lost something, until nothing changes."""
    for round_number in range(10):
        given_now = share(partitions, {name: Claim(round=round_number, owned=own) for name, own in owned.items()})
        if dict(given_now) == owned:
            return owned
        owned = dict(given_now)
    raise AssertionError(f"members do not come to rest: {owned}")


def test_the_only_member_gets_everything() -> None:
    """A process that is alone owns all partitions."""
    assert share(4, {"a": Claim()}) == {"a": frozenset(range(4))}


def test_a_new_member_gets_nothing_until_it_is_given_up() -> None:
    """In the first round the old member only loses; in the second the new one gains."""
    first = share(4, {"a": Claim(round=1, owned=frozenset(range(4))), "b": Claim()})
    assert first == {"a": frozenset({0, 1}), "b": frozenset()}
    second = share(4, {"a": Claim(round=2, owned=first["a"]), "b": Claim(round=2)})
    assert second == {"a": frozenset({0, 1}), "b": frozenset({2, 3})}


def test_partitions_of_a_member_that_left_go_to_the_others_at_once() -> None:
    """Nobody claims them any more, so one round is enough, and nothing else moves."""
    claims = {"a": Claim(round=5, owned=frozenset({0, 1})), "b": Claim(round=5, owned=frozenset({2, 3}))}
    assert share(6, claims) == {"a": frozenset({0, 1, 4}), "b": frozenset({2, 3, 5})}


def test_a_claim_of_an_older_round_is_void() -> None:
    """A member that was thrown out does not keep what others were given since."""
    claims = {"a": Claim(round=7, owned=frozenset({0, 1, 2})), "b": Claim(round=3, owned=frozenset({0, 1}))}
    assert share(3, claims) == {"a": frozenset({0, 1}), "b": frozenset()}


def test_a_partition_that_two_members_claim_goes_to_neither_now() -> None:
    """It is given away when at most one still claims it."""
    shared = share(2, {"a": Claim(owned=frozenset({0})), "b": Claim(owned=frozenset({0}))})
    assert shared["a"] | shared["b"] == {1}


members = st.lists(st.frozensets(st.integers(0, 11)), min_size=1, max_size=6).map(
    lambda owned: {f"m{position}": numbers for position, numbers in enumerate(owned)}
)


@given(partitions=st.integers(0, 12), owned=members)
def test_sharing_gives_nothing_twice_and_nothing_that_another_member_owns(
    partitions: int, owned: dict[str, frozenset[int]]
) -> None:
    """In every round, whatever is claimed: at most one owner each, and never before the old one has given up."""
    given_now = share(partitions, {name: Claim(owned=own) for name, own in owned.items()})
    everything = [number for numbers in given_now.values() for number in numbers]
    assert len(everything) == len(set(everything))
    for name, numbers in given_now.items():
        others = frozenset().union(*(own for other, own in owned.items() if other != name))
        assert not (numbers & others)


@given(partitions=st.integers(0, 12), owned=members)
def test_sharing_comes_to_rest_with_everything_shared_evenly(partitions: int, owned: dict[str, frozenset[int]]) -> None:
    """After some rounds every partition has an owner, and nobody has two more than another."""
    settled = settle(partitions, owned)
    assert sorted(number for numbers in settled.values() for number in numbers) == list(range(partitions))
    sizes = [len(numbers) for numbers in settled.values()]
    assert max(sizes) - min(sizes) <= 1
