"""Load: a client process and worker processes that cost as little as they can, and what they tell of the server.

Must not measure itself: each side is a process of its own whose CPU time is told apart. Keeps the invariant that what
the clients do is what real ones do: keep-alive connections, one request at a time on each, no pipelining.
"""
