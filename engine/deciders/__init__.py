"""The deciders: one function per command, grouped by who sends it.

Each begins with its refusals, in the order in which a caller should learn of them, and ends with the walk. Must not
read clocks, draw numbers or load anything: all of that is in the context.
"""
