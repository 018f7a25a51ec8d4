"""
The items of OWASP ASVS 5.0 about sessions (V7) and their cookies (V3.3) that the library
has to do with, one file an item.

Each file says its item in words of our own and how it is met.  A check is a function of a
world: a site, or two that are to each other as two processes are, on a store.  It is run
where it has to hold, and where a fault was planted that it has to find.
"""
