"""What every handler may ask the application for, under typed keys.

Holds the keys and the look-ups that handlers share. Must not know routes. Keeps the invariant that a handler
gets everything from its request, nothing from a module.
"""

from typing import Final

from aiohttp import web

from api.access.gate import Gate
from api.hop import Hop
from api.routing import Route
from engine.graph import Graph, Graphs
from engine.model import WorkflowState
from streams.service import Node

NODE: Final = web.AppKey("node", Node)
GRAPHS: Final = web.AppKey("graphs", Graphs)
HOP: Final = web.AppKey("hop", Hop)
GATE: Final = web.AppKey("gate", Gate)
DECLARED: Final = web.AppKey("declared", tuple[Route, ...])


def node_of(request: web.Request) -> Node:
    """Return the node that answers."""
    return request.config_dict[NODE]


def graph_of(request: web.Request, state: WorkflowState) -> Graph:
    """Return the compiled definitions that a workflow runs by."""
    return request.config_dict[GRAPHS].of(state.started)
