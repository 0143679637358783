"""How every event is spelt in the log.

Holds the common shape. Must not hold an event.
"""

import msgspec


class EventShape(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="event"):
    """How every event is spelt."""
