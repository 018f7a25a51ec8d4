"""
Tests with real server processes: killed, ended, traced, and several on one store.

L{tests.crash.server} is what runs in them, L{tests.crash.nursery} starts and ends
them, L{tests.crash.visiting} holds the clients and what they were told.
C{python -m tests.crash} runs the long versions and prints what they have found.
"""
