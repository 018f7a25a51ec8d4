"""
Hostile bytes for every reader of bytes: C{python -m tests.fuzz --help}.

Each L{target<tests.fuzz.target.Target>} is a function of bytes that raises where what it
looks at is not as promised.  L{tests.fuzz.headers}, L{tests.fuzz.records} and
L{tests.fuzz.places} have them, L{tests.fuzz.targets} has them all.  The ordinary tests
give each some inputs of Hypothesis' making; the command gives it new ones for as long as
it is told to, and keeps those that reach what none has reached.
"""
