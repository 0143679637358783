"""`python -m benchmarks`: see `benchmarks.cli`.

Must not hold anything else. Keeps the invariant that importing it runs nothing.
"""

from benchmarks.cli import main

if __name__ == "__main__":
    main()
