"""The pure core of Podium: what a workflow is, and what follows from a command.

It must not wait, log, read a clock, draw a random number or touch anything outside: it imports the standard
library (without the modules that would let it), msgspec and immutables.

The invariant: the same events folded in the same order give the same state, on any machine, at any time.
"""
