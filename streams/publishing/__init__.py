"""Messages that leave Podium: those of EVENT and KAFKA_PUBLISH tasks, and what listeners are told.

Must not decide what is sent: that stands in the log before anything here runs. The invariant: a message is sent at
least once, under an id that stays the same however often it is sent.
"""
