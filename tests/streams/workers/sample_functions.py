"""Functions for tests of the worker library, to be found by name."""

from engine.json_value import JsonObject


def double(task: JsonObject) -> JsonObject:
    """Return twice the number of the input."""
    return {"doubled": 2 * task["inputData"]["number"]}


class Tasks:
    """A class whose method is a task function."""

    @staticmethod
    def nothing(task: JsonObject) -> None:
        """Return no output."""


NOT_A_FUNCTION = 5
