"""What happens to a workflow as a whole.

Holds shapes only; see `engine.events` for what holds for all of them.
"""

import msgspec

from engine.commands import Parent
from engine.events.shape import EventShape
from engine.ids import DefinitionHash, RefName, TaskSeq, WorkflowId
from engine.json_value import JsonObject
from engine.status import WorkflowStatus


class WorkflowStarted(EventShape, frozen=True, kw_only=True, tag="workflow_started"):
    """A workflow began. `definition_hash` and `task_definition_hashes` name what it runs by, for ever.

    `graph_key` names all of them together. `definition` stands here only when it came with the start request and was
    never registered. `sub_workflow_versions` holds, for sub-workflows named without a version, the one that was the
    newest. `masked_fields`: whoever shows the workflow to people hides the values of these.
    """

    at_ms: int
    workflow_id: WorkflowId
    name: str
    version: int
    definition_hash: DefinitionHash
    task_definition_hashes: dict[str, DefinitionHash] = {}
    graph_key: str = ""
    sub_workflow_versions: dict[str, int] = {}
    definition: JsonObject | None = None
    input: JsonObject = {}
    variables: JsonObject = {}
    correlation_id: str = ""
    priority: int = 0
    task_to_domain: dict[str, str] = {}
    created_by: str = ""
    trigger: str = ""
    idempotency_key: str = ""
    parent: Parent | None = None
    timeout_ms: int = 0
    generated_id: bool = False
    masked_fields: tuple[str, ...] = ()


class WorkflowPaused(EventShape, frozen=True, kw_only=True, tag="workflow_paused"):
    """Nothing new is scheduled until the workflow is resumed."""

    at_ms: int


class WorkflowResumed(EventShape, frozen=True, kw_only=True, tag="workflow_resumed"):
    """The workflow goes on after a pause; its timeout started anew."""

    at_ms: int


class FailureStart(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The workflow that starts because another has failed. `version` None: the newest."""

    workflow_id: WorkflowId
    name: str
    version: int | None = None


class WorkflowEnded(EventShape, frozen=True, kw_only=True, tag="workflow_ended"):
    """The workflow reached a terminal status. `failed_seq` is the attempt that brought it down, if one did.

    `failure` starts the failure workflow, if there is one. `heard` is what the workflow has heard of its parent, if
    that is why it ended.
    """

    at_ms: int
    status: WorkflowStatus
    output: JsonObject = {}
    reason: str = ""
    failed_refs: tuple[RefName, ...] = ()
    failed_names: tuple[str, ...] = ()
    failed_seq: TaskSeq | None = None
    failure: FailureStart | None = None
    heard: int = 0


class WorkflowReopened(EventShape, frozen=True, kw_only=True, tag="workflow_reopened"):
    """A terminal workflow runs again, keeping its tasks: it is retried or rerun. Its timeout started anew.

    `input` and `correlation_id` replace those that it had. `heard`: its parent has told it to,
    and `parent` is which one, if it is not the one that started it.
    """

    at_ms: int
    input: JsonObject | None = None
    correlation_id: str | None = None
    heard: int = 0
    parent: Parent | None = None


class WorkflowRestarted(EventShape, frozen=True, kw_only=True, tag="workflow_restarted"):
    """A terminal workflow runs again from its beginning: the tasks of its earlier run are gone from the state."""

    at_ms: int
    version: int
    definition_hash: DefinitionHash
    task_definition_hashes: dict[str, DefinitionHash] = {}
    graph_key: str = ""
    sub_workflow_versions: dict[str, int] = {}
    definition: JsonObject | None = None
    variables: JsonObject = {}
    timeout_ms: int = 0
    input: JsonObject | None = None
    correlation_id: str | None = None
    masked_fields: tuple[str, ...] = ()


class WorkflowUpgraded(EventShape, frozen=True, kw_only=True, tag="workflow_upgraded"):
    """The workflow goes on by another version of its definition."""

    at_ms: int
    version: int
    definition_hash: DefinitionHash
    task_definition_hashes: dict[str, DefinitionHash] = {}
    graph_key: str = ""
    sub_workflow_versions: dict[str, int] = {}
    input: JsonObject | None = None
    timeout_ms: int = 0
    masked_fields: tuple[str, ...] = ()


class WorkflowRemoved(EventShape, frozen=True, kw_only=True, tag="workflow_removed"):
    """The ended workflow is to be forgotten, wherever it is kept."""

    at_ms: int


class ParentHeeded(EventShape, frozen=True, kw_only=True, tag="parent_heeded"):
    """The workflow's parent has told it to go on, and there is nothing to do: it runs, or cannot be retried.

    `parent` is which one, if it is not the one that started it.
    """

    at_ms: int
    heard: int
    parent: Parent | None = None


class VariablesSet(EventShape, frozen=True, kw_only=True, tag="variables_set"):
    """These workflow variables have new values; the others keep theirs."""

    at_ms: int
    variables: JsonObject
