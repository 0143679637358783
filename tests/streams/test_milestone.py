"""Claims about numbers that grow, and those who wait for them."""

import asyncio

from streams.milestone import Milestone


async def test_exactly_those_whose_target_is_reached_are_woken() -> None:
    """Nobody is woken early, nobody is forgotten, and what is reached already is not waited for."""
    milestone = Milestone(3)
    woken: list[int] = []

    async def wait(target: int) -> None:
        assert await milestone.wait(target)
        woken.append(target)

    async with asyncio.TaskGroup() as group:
        for target in (9, 2, 5, 7, 5):
            group.create_task(wait(target))
        await asyncio.sleep(0)
        assert woken == [2]
        milestone.reach(6)
        await asyncio.sleep(0)
        assert sorted(woken) == [2, 5, 5]
        milestone.reach(4)
        assert milestone.value == 6
        milestone.reach(100)
    assert sorted(woken) == [2, 5, 5, 7, 9]


async def test_everybody_is_told_when_the_number_stops_growing() -> None:
    """Who waits, and who comes later, learns that the target is not reached; what was reached stays so."""
    milestone = Milestone(0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(milestone.wait(1))
        await asyncio.sleep(0)
        milestone.give_up()
        assert await waiting is False
    assert await milestone.wait(5) is False
    assert await milestone.wait(0) is True


async def test_a_waiter_that_has_gone_does_not_keep_others_waiting() -> None:
    """A cancelled wait is passed over."""
    milestone = Milestone(0)
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(milestone.wait(1))
        stays = group.create_task(milestone.wait(1))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        milestone.reach(1)
        assert await stays
