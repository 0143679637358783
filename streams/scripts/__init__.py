"""Scripts of users, JavaScript and jq, in processes that can do nothing but compute.

They must not reach anything: no file, network, clock, environment, nor another script. The invariant: whatever a
script does, `ScriptPool.run` ends with its value or with the reason why there is none, in bounded time and memory.

Nothing is imported here, because the script process imports this package too and would pay for it at every start.
"""
