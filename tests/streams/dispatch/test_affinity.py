"""Claims about the arithmetic of affinity."""

from collections import Counter

from streams.dispatch.affinity import partition_of_key, winner


def test_every_key_has_a_partition_and_all_partitions_have_keys() -> None:
    """Keys are spread evenly enough that no partition is idle."""
    counts = Counter(partition_of_key(f"key{number}", 16) for number in range(10_000))
    assert set(counts) == set(range(16))
    assert max(counts.values()) < 1.3 * 10_000 / 16


def test_the_winner_is_one_of_the_candidates_whatever_their_order() -> None:
    """Nodes that see the same workers in another order agree."""
    workers = [f"w{number}" for number in range(9)]
    assert {winner(7, workers), winner(7, reversed(workers)), winner(7, set(workers))} == {winner(7, workers)}
    assert winner(7, workers) in workers
    assert winner(7, []) is None


def test_a_newcomer_takes_shares_only_for_itself() -> None:
    """Nothing moves between those who were there before."""
    workers = [f"w{number}" for number in range(9)]
    before = {share: winner(share, workers) for share in range(500)}
    after = {share: winner(share, [*workers, "new"]) for share in range(500)}
    moved = {share for share in before if before[share] != after[share]}
    assert {after[share] for share in moved} == {"new"}
    assert 20 < len(moved) < 90
