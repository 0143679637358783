"""What Podium costs, measured from outside on the machine at hand.

Holds the harness: the server under test is a real process, and so are its clients and workers. Must not be part of
an installed Podium. Keeps the invariant that nothing it started outlives it, and that no figure is printed which was
not measured in that very run.
"""
