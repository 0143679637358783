"""The routes, one module per resource of Conductor.

Each begins with its route table; a handler parses, sends a command or asks for a state, and renders. Must not
hold rules of workflows. Keeps the invariant that a path, its parameters and its answers are Conductor's.
"""
