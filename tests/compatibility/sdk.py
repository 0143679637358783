"""The Python SDK in the words of the tests.

Holds the SDK's clients for one server, and the wait for a workflow. Must not send a request of its own: whatever
reaches the server, the SDK has sent. Keeps the invariant that an answer which the SDK could not read fails the test:
the SDK itself logs that and returns None.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from conductor.client.configuration.configuration import Configuration
from conductor.client.http.models import StartWorkflowRequest
from conductor.client.http.rest import ApiException
from conductor.client.orkes_clients import OrkesClients
from conductor.client.workflow.conductor_workflow import ConductorWorkflow

WITHIN_S: Final = 30.0
"""For a workflow to get somewhere. The first one also waits for the workers' processes to start."""
LOOK_AGAIN_S: Final = 0.05


class Sdk:
    """The clients that a user of the SDK has."""

    def __init__(self, url: str) -> None:
        """`url` is the server's root; the SDK wants it with `/api`."""
        clients = OrkesClients(Configuration(server_api_url=f"{url}/api"))
        self.workflows = clients.get_workflow_client()
        self.definitions = clients.get_metadata_client()
        self.tasks = clients.get_task_client()
        self.executor = clients.get_workflow_executor()

    def workflow(self, name: str, version: int = 1) -> ConductorWorkflow:
        """Return an empty workflow definition of the SDK's own language."""
        return ConductorWorkflow(executor=self.executor, name=name, version=version)

    def start(self, name: str, workflow_input: dict[str, object] | None = None, **request: Any) -> str:  # noqa: ANN401 - the SDK's own
        """Start a workflow and return its id."""
        started = self.workflows.start_workflow(StartWorkflowRequest(name=name, input=workflow_input or {}, **request))
        assert isinstance(started, str)
        return started

    def get(self, workflow_id: str) -> Any:  # noqa: ANN401 - the SDK's Workflow
        """Return a workflow with its tasks."""
        found = self.workflows.get_workflow(workflow_id)
        assert found is not None, f"the SDK could not read workflow {workflow_id}: its log says why"
        return found

    def wait_for(self, workflow_id: str, status: str) -> Any:  # noqa: ANN401 - the SDK's Workflow
        """Wait until a workflow has a status, and return it."""
        return self.wait_until(workflow_id, lambda workflow: workflow.status == status)

    def wait_until(self, workflow_id: str, is_there: Callable[[Any], bool]) -> Any:  # noqa: ANN401 - the SDK's Workflow
        """Wait until a workflow is as it shall be, and return it."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            found = self.get(workflow_id)
            if is_there(found):
                return found
            if time.monotonic() > deadline:
                tasks = [(task.reference_task_name, task.status, task.reason_for_incompletion) for task in found.tasks]
                raise AssertionError(f"{workflow_id} is {found.status}: {found.reason_for_incompletion}; {tasks}")
            time.sleep(LOOK_AGAIN_S)  # asks again: the SDK has no other way to be told


def task_of(workflow: Any, ref: str) -> Any:  # noqa: ANN401 - the SDK's Workflow and Task
    """Return the latest attempt of a reference name."""
    found = [task for task in workflow.tasks if task.reference_task_name == ref]
    assert found, f"{ref} is not among {[task.reference_task_name for task in workflow.tasks]}"
    return found[-1]


def refusal(call: Callable[[], object]) -> ApiException:
    """Return the error that a call must raise."""
    try:
        answer = call()
    except ApiException as error:
        return error
    raise AssertionError(f"the server should have refused, but answered {answer!r}")
