"""What stands on the wire: requests as clients send them, answers as they expect them.

Holds the readers (lenient in what Conductor's clients vary, strict in what JSON is) and the renderers. Must
not send commands nor know routes. Keeps the invariant that what leaves a reader is valid by construction.
"""
