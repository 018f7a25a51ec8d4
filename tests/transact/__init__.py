"""
Tests of transactions in processes of their own: two count in one session.

L{tests.transact.child} is what runs in them, L{tests.transact.counting} starts them
and adds up, whatever the store.  C{python -m tests.transact} runs the long version.
"""
