"""Claims about the how-to page of tests: its tests pass as they stand there."""

import re
from pathlib import Path

PAGE = Path("docs/how-to/test-workflows.md")


def test_tests_of_the_guide_pass() -> None:
    """Each function of the page whose name begins with `test_` is called."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(program, names)  # noqa: S102 - our own page
    tests = [value for name, value in names.items() if name.startswith("test_") and callable(value)]
    assert len(tests) == 4
    for test in tests:
        test()
