"""Expressions of definitions: `${…}` references and the part of JavaScript that is evaluated in process.

It must not reach outside nor run for an unbounded time. The invariant: the same expression over the same
document gives the same value, on any machine.
"""
