"""`python -m api.openapi`: print the document of every route.

Holds the writing. Must not make the document. Keeps the invariant that the same routes print the same bytes.
"""

import json
import sys

from api.openapi import document
from api.routes.table import ROUTES
from api.version import version

if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(ROUTES, version=version()), indent=1, ensure_ascii=False) + "\n")
