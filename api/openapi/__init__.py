"""The REST interface as an OpenAPI 3.1 document, made from the routes and their types.

Holds the document. Must not repeat by hand what a route or a type says. Keeps the invariant that
docs/reference/openapi.json is exactly what this package makes: `python -m api.openapi > docs/reference/openapi.json`.
"""

from api.openapi.building import document

__all__ = ["document"]
