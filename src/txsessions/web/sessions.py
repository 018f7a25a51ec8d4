"""
What a site can be asked of its sessions, beyond what Twisted's can.

Owns the faces of what L{txsessions.live} knows: of single sessions, of the store, and
of those who are signed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from txsessions.core.renewal import Renewal
from txsessions.core.uid import isUid
from txsessions.errors import ConfigurationError, SessionUnavailable
from txsessions.live.renewing import Renewing
from txsessions.web.budget import NetworkBudget, Spending

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from txsessions.core.record import SignInLimit
    from txsessions.interfaces import ISessionListener
    from txsessions.live.anonymous import Floods
    from txsessions.live.checking import StoreCheck
    from txsessions.live.principals import SignedIn


class SiteOfSessions:
    """
    A site whose sessions outlive it.
    """

    def loadSession(self: Any, uid: bytes) -> Deferred[Any]:
        """
        Find a session, live or stored.

        @return: Fires with the session, or with L{None} if there is none; fails
            with C{SessionUnavailable} if the store does not answer.
        """
        if not isUid(uid):
            return succeed(None)
        live = self._live
        session = live.loader.find(uid)
        if session is not None or live.store is None:
            return succeed(session)

        def unavailable(_: Failure) -> None:
            raise SessionUnavailable

        found: Deferred[Any] = live.loader.fetch(uid)
        return found.addErrback(unavailable)

    def transact(
        self: Any, uid: bytes, function: Callable[[Any], Any], *, deadline: float = 10.0
    ) -> Deferred[Any]:
        """
        Change a session exactly, whoever else changes it meanwhile: what C{function}
        makes of it is saved if nobody has saved anything since it began, else it is
        called again, so that what it does besides must bear that.

        It gets a session of its own, with what is in the store; what this process
        has yet to save is saved before.  Requests that hold the session see what it
        changed once that is saved.  Where there is no store it gets the session
        itself, and what it changed stays if it raises.

        @param function: Takes the session; returns a value, a Deferred or a
            coroutine.
        @param deadline: Seconds after which nothing more is tried.
        @return: Fires with what C{function} returned.  Fails with what it raised, or
            with C{SessionGone}, C{SessionConflict} if others were faster each time,
            C{TransactionTooLong}, C{CannotBeKept}, C{SessionTooLarge}: then nothing
            was saved; or with C{StoreUnavailable}: then that is unknown.
        """
        done: Deferred[Any] = self._live.transactions.run(
            uid, function, self._entropy, deadline
        )
        return done

    def checkStore(self: Any) -> Deferred[StoreCheck]:
        """
        See whether sessions can be kept now, and how fast, by keeping a record that
        is nobody's for a moment.

        @return: Fires with what was found, within some deadlines of the store, and
            never fails.
        """
        found: Deferred[StoreCheck] = self._live.checks.check(self._entropy)
        return found

    def addSessionListener(self: Any, listener: ISessionListener) -> None:
        """
        Tell C{listener} what happens to sessions.
        """
        self._live.announcer.add(listener)

    def removeSessionListener(self: Any, listener: ISessionListener) -> None:
        """
        Tell it nothing more.
        """
        self._live.announcer.remove(listener)

    # -- those who are not signed in

    @property
    def maxAnonymous(self: Any) -> int | None:
        """
        How many sessions there may be in which nobody is signed in, 50,000 unless said,
        L{None} for any number.  If there are more, those that were not used for longest
        end; never one in which somebody is signed in.  One for all sites that share a
        store and a name in this process; processes that share a store should say the
        same.
        """
        most: int | None = self._live.anonymous.most
        return most

    @maxAnonymous.setter
    def maxAnonymous(self: Any, most: int | None) -> None:
        self._live.anonymous.most = most

    @property
    def networkBudget(self: Any) -> NetworkBudget | None:
        """
        How many new sessions visitors of one network may be given, L{None} for any
        number.  One for all sites that share a store and a name in this process, and
        each process counts for itself.
        """
        spending: Spending | None = self._live.anonymous.budget
        return None if spending is None else spending.budget

    @networkBudget.setter
    def networkBudget(self: Any, budget: NetworkBudget | None) -> None:
        anonymous = self._live.anonymous
        anonymous.budget = None if budget is None else Spending(self._live, budget)

    @property
    def floods(self: Any) -> Floods:
        """
        What has come of visitors who are not signed in, in this process.
        """
        floods: Floods = self._live.anonymous.counted()
        return floods

    # -- those who are signed in

    @property
    def signInLimit(self: Any) -> SignInLimit | None:
        """
        How many sessions one principal may have, L{None} for any number.  One for all
        sites that share a store and a name in this process.  Setting it raises
        C{ConfigurationError} where there is no store, which would have to keep to it.
        """
        limit: SignInLimit | None = self._live.principals.limit
        return limit

    @signInLimit.setter
    def signInLimit(self: Any, limit: SignInLimit | None) -> None:
        if limit is not None and self._live.store is None:
            raise ConfigurationError(
                "signInLimit needs a store: without a database it is Site(..., "
                "store='memory:')"
            )
        self._live.principals.limit = limit

    @property
    def keepsClients(self: Any) -> bool:
        """
        Whether the user agent and the address of a client are kept, sealed, with each
        sign-in, for L{sessionsOf} to tell.  They are personal data: off, unless said.
        """
        keeps: bool = self._live.principals.keepsClients
        return keeps

    @keepsClients.setter
    def keepsClients(self: Any, keeps: bool) -> None:
        self._live.principals.keepsClients = keeps

    @property
    def renewal(self: Any) -> Renewal | None:
        """
        When sessions get new ids without a sign-in, L{None} for never.  One for all
        sites that share a store and a name in this process; connections that are open
        when it is first set go on without.  Setting it raises C{ConfigurationError}
        where there is no store.
        """
        renewing = self._live.rotated.renewing
        return None if renewing is None else renewing.rule

    @renewal.setter
    def renewal(self: Any, rule: Renewal | None) -> None:
        if rule is not None and not isinstance(rule, Renewal):
            raise ConfigurationError(f"renewal takes a Renewal, not {rule!r}")
        if rule is not None and self._live.store is None:
            raise ConfigurationError(
                "renewal needs a store: without a database it is Site(..., "
                "store='memory:')"
            )
        rotated = self._live.rotated
        rotated.renewing = None if rule is None else Renewing(self._live, rule)

    def sessionsOf(
        self: Any, principal: str | None, after: str | None = None, limit: int = 100
    ) -> Deferred[list[SignedIn]]:
        """
        Find the sessions on which somebody is signed in, in every process, in the
        order of their handles.

        @param principal: Who, as C{session.login()} was told.  L{None}, as of a session
            on which nobody is signed in, has none.
        @param after: The handle of the last one of the page before.  What is none
            finds nothing.
        @param limit: How many at most.
        @return: Fires with what may be shown of them; fails with
            C{StoreUnavailable}.
        """
        found: Deferred[list[SignedIn]] = self._live.principals.sessionsOf(
            principal, after, limit
        )
        return found

    def endSession(self: Any, principal: str, handle: str) -> Deferred[bool]:
        """
        End one of the sessions of a principal, for good and in every process.

        @param handle: As in C{SignedIn.handle}; a visitor may have sent it, since it
            ends only what is the principal's.
        @return: Fires with whether there was one, when it is gone from the store;
            fails with C{StoreUnavailable}: then that is unknown.
        """
        ended: Deferred[bool] = self._live.principals.endSession(principal, handle)
        return ended

    def endPrincipal(self: Any, principal: str) -> Deferred[int]:
        """
        End all sessions of a principal, for good and in every process, at once,
        however many they are: for an account that is closed, or whose password was
        set anew by others.

        @return: Fires with how many there were, when they are gone; fails with
            C{StoreUnavailable}: then that is unknown, and it may be tried again.
        """
        ended: Deferred[int] = self._live.principals.end(principal)
        return ended

    def endEverybody(self: Any) -> Deferred[None]:
        """
        End all sessions on which somebody is signed in, of all principals of this site,
        for good and in every process, at once, however many they are: for an incident.
        Visitors who are not signed in keep theirs; whoever signs in afterwards is in.

        @return: Fires when they are gone; fails with C{StoreUnavailable}: then some may
            have ended, and it is to be tried again.
        """
        ended: Deferred[None] = self._live.principals.endEverybody()
        return ended

    def erasePrincipal(self: Any, principal: str) -> Deferred[int]:
        """
        End all sessions of a principal, and have the store forget all that it has of
        it, for good, as data protection may demand.

        @return: Fires with how many records there were; fails with
            C{StoreUnavailable}: then that is unknown, and it may be tried again.
        """
        erased: Deferred[int] = self._live.principals.erase(principal)
        return erased

    def verifyPrincipals(self: Any) -> Deferred[int]:
        """
        See whether all sessions of principals can be found by them.

        @return: Fires with how many entries do not fit, 0 where all is well.
        """
        found: Deferred[int] = self._live.principals.verify()
        return found


__all__ = ["SiteOfSessions"]
