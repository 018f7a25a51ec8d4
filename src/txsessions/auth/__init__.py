"""
Signing in with C{twisted.cred}: a resource that stands before others, has visitors sign
in, and serves each what his realm gives for him::

    from txsessions import Site
    from txsessions.auth import SessionGuard

    site = Site(SessionGuard(portal), store="sqlite:sessions.sqlite")
"""

from txsessions.auth._entered import MAX_PASSWORD
from txsessions.auth._form import LoginForm
from txsessions.auth._guard import SessionGuard
from txsessions.auth._throttling import Throttle

__all__ = ["MAX_PASSWORD", "LoginForm", "SessionGuard", "Throttle"]
