"""`python -m api.cli`: the `podium` command where its script is not installed.

Must not do anything else. Keeps the invariant that both are the same program.
"""

from api.cli.program import main

if __name__ == "__main__":
    main()
