"""Servers that are killed, and what must still be true."""
