"""Random workflows with real sub-workflows: parents, children and theirs, each a state of its own, all driven at once.

Holds the members, what is on its way between them, and the drive. Must not answer in a child's place: what a parent
hears, its child has said. Keeps the invariants that what one workflow sends another arrives in its order, late and
sometimes twice, and that a run depends on nothing but its `Random`.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from engine.codec import pack
from engine.commands import Command, ReportChildEnd, StartWorkflow, workflow_of
from engine.definitions import WorkflowDef
from engine.ids import WorkflowId
from engine.model import Task, open_tasks
from engine.rejections import Decision, Rejected
from engine.status import WorkflowStatus
from tests.engine.driver import CheckedScenario, Driver, Wrong
from tests.engine.generator import Generated, generate_generations

TOP: Final = WorkflowId("wf")
WILD_STEPS_MAX: Final = 120
CALM_STEPS_MAX: Final = 20_000
MEMBERS_MAX: Final = 200
"""Retries of a parent make new children; more than so many, and the drive makes too much noise."""
AGAIN: Final = 0.1
"""How often what has arrived is sent again, as after a crash."""


class Member(Driver):
    """One workflow of several. Its sub-workflows end by themselves."""

    def __init__(self, random: Random, generated: Generated, workflow_id: WorkflowId, now_ms: int) -> None:
        """Make the scenario anew, under an id of its own."""
        super().__init__(random, generated)
        self.scenario = CheckedScenario(generated.definition, *generated.others, workflow_id=workflow_id, now_ms=now_ms)

    def move(self) -> None:
        """Do one thing, helpful or not."""
        self.scenario.noise = self._random.random()
        is_over = self.scenario.state.is_terminal and self._random.random() < 0.7
        decision = self._random.choice(self._reruns() if is_over else self._moves())()
        self.commands += 1
        self.refused += isinstance(decision, Rejected)

    def help(self) -> bool:
        """Do one thing that brings the workflow nearer to its end; tell whether there was one."""
        if self.scenario.state.is_terminal:
            return False
        if self.scenario.state.status is WorkflowStatus.PAUSED:
            self.scenario.resume()
            return True
        return self.answer_something() or self._grant() is not None

    def _end_child(self) -> Decision | None:
        return None

    def _revive(self) -> Decision | None:
        return None

    def _be_resumed(self) -> Decision | None:
        return None

    def _name_child(self) -> Decision | None:
        return None

    def _meet(self) -> Decision | None:
        return None

    def _children(self) -> set[WorkflowId | None]:
        return set()


class Generations:
    """A random run of a workflow and everything that it starts."""

    def __init__(self, random: Random) -> None:
        """Make the definitions. The shelf of every member holds all of them."""
        self._random = random
        self.generated = generate_generations(random)
        self.members: dict[WorkflowId, Member] = {}
        self._ways: dict[tuple[WorkflowId, WorkflowId], deque[Command]] = {}
        self._sent: dict[WorkflowId, int] = {}
        self.delivered = 0

    def run(self) -> None:
        """Run wildly, then until everybody has ended and nothing is on its way."""
        random = self._random
        definition = self.generated.definition
        start = StartWorkflow(workflow_id=TOP, name=definition.name, input=self.generated.workflow_input)
        self._after(lambda: self._deliver(TOP, start))
        for _ in range(random.randint(0, WILD_STEPS_MAX)):
            if random.random() < 0.4 and self._deliver_one(again=random.random() < AGAIN):
                continue
            if len(self.members) < MEMBERS_MAX:
                self._after(random.choice(list(self.members.values())).move)
        self._finish()
        self._agree()

    def digest(self) -> str:
        """Return the hash of all states, packed, and of all events."""
        found = hashlib.blake2b(digest_size=16)
        for workflow_id, member in sorted(self.members.items()):
            found.update(workflow_id.encode())
            found.update(pack(member.scenario.state))
            found.update(msgspec.json.encode(member.scenario.events))
        return found.hexdigest()

    # ---- the drive

    def _finish(self) -> None:
        for _ in range(CALM_STEPS_MAX):
            if self._deliver_one(again=False):
                continue
            if not any(self._after(member.help) for member in list(self.members.values())):
                break
        else:
            raise Wrong(f"after {CALM_STEPS_MAX} steps they have not ended: {self._open()}")
        if self._open():
            raise Wrong(f"stuck: {self._open()}, and nobody can do anything")

    def _open(self) -> dict[WorkflowId, list[str]]:
        found = {workflow_id: member.scenario for workflow_id, member in self.members.items()}
        return {workflow_id: found.open_refs() for workflow_id, found in found.items() if not found.state.is_terminal}

    def _after(self, step: Callable[[], object]) -> bool:
        """Take a step of a member and note what it sent."""
        taken = step()
        for sender, member in list(self.members.items()):
            sent = member.scenario.sent
            for command in sent[self._sent.get(sender, 0) :]:
                receiver = workflow_of(command)
                assert receiver is not None
                self._ways.setdefault((sender, receiver), deque()).append(command)
            self._sent[sender] = len(sent)
        return bool(taken)

    def _deliver_one(self, *, again: bool) -> bool:
        """Deliver the next command between two workflows; tell whether there was one. `again`: it comes once more."""
        ways = [way for way, commands in self._ways.items() if commands]
        if not ways:
            return False
        way = self._random.choice(ways)
        command = self._ways[way][0] if again else self._ways[way].popleft()
        self.delivered += 1
        self._after(lambda: self._deliver(way[0], command))
        return True

    def _deliver(self, sender: WorkflowId, command: Command) -> None:
        receiver = workflow_of(command)
        assert receiver is not None
        member = self.members.get(receiver)
        if member is None:
            if not isinstance(command, StartWorkflow):
                return  # refused: there is no such workflow
            member = self._member_for(sender, receiver, command)
        decision = member.scenario.when(command)
        if not isinstance(decision, Rejected) or member.scenario.is_started:
            return
        if isinstance(command, StartWorkflow) and command.parent is not None:
            end = ReportChildEnd(
                workflow_id=command.parent.workflow_id,
                task_seq=command.parent.task_seq,
                child_id=receiver,
                status=WorkflowStatus.FAILED,
                reason=decision.reason,
            )
            self._ways.setdefault((receiver, sender), deque()).append(end)
            return
        raise Wrong(f"the start of {receiver} by {sender} is refused: {decision}")

    def _member_for(self, sender: WorkflowId, receiver: WorkflowId, command: StartWorkflow) -> Member:
        others = (self.generated.definition, *self.generated.others)
        workflows = [other for other in others if isinstance(other, WorkflowDef)]
        definition = next(other for other in workflows if other.name == command.name)
        now_ms = self.members[sender].scenario.now_ms if sender in self.members else 1_000_000
        generated = Generated(definition=definition, others=others, workflow_input=command.input or {})
        member = self.members[receiver] = Member(self._random, generated, receiver, now_ms)
        return member

    # ---- what must be true in the end

    def _agree(self) -> None:
        """Look at parents and children together: nobody waits for what has ended, and ends were heard once."""
        for member in self.members.values():
            state = member.scenario.state
            for task in state.tasks.values():
                self._look_at_child(state.workflow_id, task)
            ends: dict[WorkflowId, int] = {}
            for command in member.scenario.sent:
                if isinstance(command, ReportChildEnd):
                    ends[command.workflow_id] = ends.get(command.workflow_id, 0) + 1
            runs = 1 + sum(type(event).__name__ in _BEGINS_AGAIN for event in member.scenario.events)
            if any(count > runs for count in ends.values()):
                raise Wrong(f"{state.workflow_id} ran {runs} times and told its parent {ends}")

    def _look_at_child(self, parent: WorkflowId, task: Task) -> None:
        child_id = task.progress.child_id
        if child_id is None:
            return
        child = self.members.get(child_id)
        if child is None:
            return  # its start was refused, or it was to end before it had begun
        started = child.scenario.state.started
        if started.parent is None or started.parent.workflow_id != parent:
            raise Wrong(f"{child_id} is a child of {parent}, and says that its parent is {started.parent}")
        if open_tasks(self.members[parent].scenario.state):
            raise Wrong(f"{parent} has ended, with open tasks")


_BEGINS_AGAIN: Final = frozenset({"WorkflowReopened", "WorkflowRestarted", "WorkflowEnded", "ParentHeeded"})
"""What may be followed by a further end: a run begun anew, an end rewritten, or told again to a parent that asks."""
