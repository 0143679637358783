"""The shell around the log: reads commands, appends decisions, and carries out what they ask for.

It must not decide anything about a workflow (that is `engine`) nor know a surface (that is `api`).

The invariant: nothing outside sees an effect whose decision is not in the log.
"""
