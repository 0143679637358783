"""Handing out tasks to pollers: the queues of one node, and who may take what."""
