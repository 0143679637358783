"""One partition of workflows: the machine that decides for it, and the loop that drives the machine.

`machine` is synchronous and knows no log: it is given records and gives records back, which is what the simulator
drives too. `processor` is the asynchronous loop around it.
"""
