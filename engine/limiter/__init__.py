"""The limiter: the aggregate that counts what may run at once, and how often something may begin.

Holds one state machine per limited task type, and one per key of a workflow's `rateLimitConfig`. Must not know a
workflow: it sees only who asks and who gives back. Keeps the invariant that never more slots are given than the limit
says, by having every grant and every return in the log of the one partition that the limiter's id belongs to.
"""
