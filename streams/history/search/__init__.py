"""Conductor's search language, from text to a bound query and back to summaries.

`lexer` and `parser` make a tree (`syntax`), `condition` turns it into SQL over the allowed `fields`, `freetext` and
`sorting` do the same for their parameters, `pages` runs the query and `summaries` renders what it found.

It must not put a word of the user into SQL: names are looked up in a table, values are bound.
"""
