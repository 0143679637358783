"""One task through the 1.1 line of the Python SDK: register, start, poll singly, complete, get.

Must be run by the interpreter of that SDK's own environment, with the server's address in `CONDUCTOR_SERVER_URL`;
prints one JSON object of what it saw. Keeps to what a program of that time does: its workers poll one task at a time
and report with `POST /tasks`.
"""

import json
import sys

from conductor.client.automator.task_runner import TaskRunner
from conductor.client.configuration.configuration import Configuration
from conductor.client.http.models import StartWorkflowRequest
from conductor.client.http.models.task_def import TaskDef
from conductor.client.http.rest import ApiException
from conductor.client.orkes_clients import OrkesClients
from conductor.client.worker.worker import Worker
from conductor.client.workflow.conductor_workflow import ConductorWorkflow
from conductor.client.workflow.task.simple_task import SimpleTask


def double(number: int) -> dict[str, int]:
    """Be the worker's function."""
    return {"double": 2 * number}


def main() -> None:
    """Run the scenario and print what came of it."""
    configuration = Configuration()
    clients = OrkesClients(configuration)
    clients.get_metadata_client().register_task_def(TaskDef(name="older_double"))
    workflow = ConductorWorkflow(executor=clients.get_workflow_executor(), name="older_smoke", version=1)
    task = SimpleTask("older_double", "doubling")
    task.input_parameters.update({"number": "${workflow.input.number}"})
    workflow.add(task).register(overwrite=True)
    request = StartWorkflowRequest(name="older_smoke", version=1, input={"number": 21})
    workflow_id = clients.get_workflow_client().start_workflow(request)

    TaskRunner(Worker(task_definition_name="older_double", execute_function=double), configuration).run_once()

    found = clients.get_workflow_client().get_workflow(workflow_id)
    try:
        refused = clients.get_workflow_client().get_workflow("older-unknown")
    except ApiException as error:
        refused = [error.status, error.body]
    json.dump(
        {
            "started": workflow_id,
            "found": found.workflow_id,
            "status": found.status,
            "output": found.output,
            "polls": found.tasks[0].poll_count,
            "refused": refused,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
