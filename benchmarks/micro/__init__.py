"""Parts by themselves: folding, deciding, recovering, and what the harness's own client costs.

Must not stand for the whole: a server does all of this and more. Keeps the invariant that what is measured is the
production code on records that it made itself.
"""
