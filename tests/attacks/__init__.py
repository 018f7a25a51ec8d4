"""
A hostile client: what it tries, from outside and over real sockets, against a site
that signs people in.

C{python -m tests.attacks --help} tells how it is run.  It knows a site by its
addresses and its forms only (L{tests.attacks.target}), and nothing of txsessions.
"""
