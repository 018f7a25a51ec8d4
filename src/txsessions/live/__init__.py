"""
Live sessions: the objects that resources see, the table that holds them, their
one timer, and how they are saved.  Knows no HTTP, so that WebSockets and tools
can use it too.
"""
