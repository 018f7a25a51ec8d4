"""
For those who write a session store, and for those who choose one: the contract of
L{ISessionStore<txsessions.interfaces.ISessionStore>} as tests.

Owns the suite.  Imported by nothing else here.  Make it yours like this::

    from twisted.trial.unittest import TestCase
    from txsessions.testing import StoreContract


    class MyStoreTests(StoreContract, TestCase):
        def makeStore(self):
            return MyStore(...)

Every test gets an empty store.  Times are arguments throughout, so nothing here
sleeps.
"""

from txsessions.testing._admitting import AdmittingContract
from txsessions.testing._changing import ChangingContract
from txsessions.testing._ending import EndingContract
from txsessions.testing._erasing import ErasingContract
from txsessions.testing._everybody import EverybodyContract
from txsessions.testing._evicting import EvictingContract
from txsessions.testing._following import FollowingContract
from txsessions.testing._keeping import KeepingContract
from txsessions.testing._principals import PrincipalsContract
from txsessions.testing._racing import RacingContract


class StoreContract(
    KeepingContract,
    ChangingContract,
    EndingContract,
    FollowingContract,
    RacingContract,
    PrincipalsContract,
    ErasingContract,
    AdmittingContract,
    EverybodyContract,
    EvictingContract,
):
    """
    What every session store must do.  Mix into a
    L{twisted.trial.unittest.TestCase}, and say in C{makeStore} which store; where
    processes can share its sessions, say in C{anotherStore} how to make a second
    one on those of the first, and in C{remembers} how to find traces of somebody
    who was erased.
    """


__all__ = ["StoreContract"]
