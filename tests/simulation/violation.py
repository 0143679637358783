"""The one exception of the simulation's own checks.

Holds nothing else, so that whoever checks can import it. Keeps a violation apart from an exception of the system
under test; both fail a seed.
"""


class Violation(AssertionError):
    """The system did what it must never do. The message names the invariant, the ids and what was found."""
