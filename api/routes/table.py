"""The one list of routes.

Holds the concatenation of what the resources declare. Must not know paths itself. Keeps the invariant that no
method and path stands in it twice.
"""

from typing import Final

from api.routes import (
    access,
    document,
    health,
    metadata,
    queues,
    rehearsal,
    schemas,
    search,
    tasks,
    workflow,
    workflow_bulk,
    workflow_changes,
    workflow_execute,
)
from api.routing import Route

ROUTES: Final[tuple[Route, ...]] = (
    *health.routes(),
    *document.routes(),
    *access.routes(),
    *metadata.routes(),
    *schemas.routes(),
    *workflow_bulk.routes(),
    *search.routes(),
    *workflow_execute.routes(),
    *workflow_changes.routes(),
    *rehearsal.routes(),
    *workflow.routes(),
    *queues.routes(),
    *tasks.routes(),
)
