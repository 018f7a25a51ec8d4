"""
Durable sessions for C{twisted.web}.

Change one import and name a store::

    from txsessions import Site

    site = Site(resource, store="sqlite:sessions.sqlite")
"""

from txsessions.live.checking import StoreCheck
from txsessions.live.classes import keep
from txsessions.live.session import Session
from txsessions.stores import openStore
from txsessions.web.health import HealthResource
from txsessions.web.policy import CookiePolicy
from txsessions.web.request import Request
from txsessions.web.site import Site

__all__ = [
    "CookiePolicy",
    "HealthResource",
    "Request",
    "Session",
    "Site",
    "StoreCheck",
    "keep",
    "openStore",
]
