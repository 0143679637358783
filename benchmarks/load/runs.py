"""What a client process tells of the workflows it ran.

Holds the record and what follows from it. Must not know how they were run. Keeps the invariant that the lists belong
together: one entry per workflow, in the order of their starts.
"""

import msgspec

from benchmarks.figures import latency_figures


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """When each workflow was begun and ended, by the monotonic clock, and its id."""

    begun_ns: list[int]
    ended_ns: list[int]
    ids: list[str]

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return (max(self.ended_ns) - min(self.begun_ns)) / 1e9

    def latencies_ms(self) -> list[float]:
        """Return how long each workflow took."""
        return [(ended - begun) / 1e6 for begun, ended in zip(self.begun_ns, self.ended_ns, strict=True)]

    def figures(self) -> dict[str, float]:
        """Return throughput and latencies."""
        return {
            "workflows": len(self.ids),
            "seconds": self.seconds,
            "workflows_per_s": len(self.ids) / self.seconds,
            **latency_figures("", self.latencies_ms()),
        }
