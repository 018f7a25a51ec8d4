"""
Durable sessions for C{twisted.web}.

Change one import and name a store::

    from txsessions import Site

    site = Site(resource, store="sqlite:sessions.sqlite")
"""

from txsessions.core.record import SignInLimit
from txsessions.core.renewal import Renewal
from txsessions.live.anonymous import Floods
from txsessions.live.checking import StoreCheck
from txsessions.live.classes import keep
from txsessions.live.flashes import Flash
from txsessions.live.principals import SignedIn
from txsessions.live.session import Session
from txsessions.stores import openStore
from txsessions.web.budget import NetworkBudget
from txsessions.web.csrf import CSRFProtected, checkCSRF
from txsessions.web.health import HealthResource
from txsessions.web.policy import CookiePolicy
from txsessions.web.request import Request
from txsessions.web.site import Site

__all__ = [
    "CSRFProtected",
    "CookiePolicy",
    "Flash",
    "Floods",
    "HealthResource",
    "NetworkBudget",
    "Renewal",
    "Request",
    "Session",
    "SignInLimit",
    "SignedIn",
    "Site",
    "StoreCheck",
    "checkCSRF",
    "keep",
    "openStore",
]
