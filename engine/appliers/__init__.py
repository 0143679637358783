"""The appliers: one dull function per event type, grouped by what they change.

Hold no rule and no check. A broken invariant raises `InvariantViolated` (`engine.errors`), which stops the partition
loudly.
"""
