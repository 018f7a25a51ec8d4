"""
Rules and bytes: what a session is made of, how long it lives, how it is sealed
and merged.

Everything here is a pure function or a frozen value.  Nothing knows Twisted, a
clock or a store, and only L{txsessions.core.keyfile} reads or writes a file.
"""
