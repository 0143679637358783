"""The task types, one module each, all with the same parts in the same order.

Each module says in its docstring where its rules come from, and holds `schedule` (the walk enters the task) and,
where the type has something to say, `on_update` (somebody reports on an open attempt) and `leads_to` (what the walk
enters behind it). `registry` is the one list of them.
"""
