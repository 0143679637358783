"""Who may do what: credentials, roles, and the limits of each caller.

Must not know what a route does, only what it needs. Keeps the invariant that a request is let through for a reason:
no credential, no role, no declared need of the route means no.
"""
