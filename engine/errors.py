"""The errors of the engine.

    EngineError
    ├── InvariantViolated   a defect: the state and an event do not fit
    └── ExpressionError     an expression cannot be read or evaluated

Holds the classes only. Refusals are not errors: see `engine.rejections`.
"""


class EngineError(Exception):
    """Something in the engine went wrong."""


class InvariantViolated(EngineError):
    """A defect of Podium: the log and the engine disagree. The partition stops; keep its log and report it."""


class ExpressionError(EngineError):
    """An expression cannot be read or evaluated. Correct it in the workflow definition."""
