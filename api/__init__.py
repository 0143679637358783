"""Every surface of Podium: REST, the command line, search and the web interface.

It must not write to a log or a history except through the ports of `streams`.

The invariant: what a client is told is what the log says.
"""
