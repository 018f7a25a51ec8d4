"""
Tests of several processes that serve one store: what comes of requests that meet.

The servers are L{tests.races.server}, over a store of L{tests.races.engines}; one
process drives them over HTTP.  L{tests.races.meetings} is the table of what meets, and
the judge of how it ended; L{tests.races.running} lets requests meet, by chance or
step by step in all orders there are.  L{tests.races.signing} is the same for people
who sign in and are put out, with the books that L{tests.races.ledger} keeps on the
store, and L{tests.races.accounts} closes accounts.  L{tests.races.faults} ends, freezes
and cuts off, L{tests.races.histories} checks what many saw of many sessions.
C{python -m tests.races} runs the long version.
"""
