"""
How a connection to PostgreSQL is made: by psycopg, in a thread.

Owns the attempts.  libpq resolves names, and computes SCRAM and TLS, in whatever
thread asks it to, so that is not the reactor's.  All of libpq's own options work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.errors import StoreError, StoreUnavailable
from txsessions.stores._postgresql_errors import storeError
from txsessions.stores._postgresql_link import IEnd, ILink, WatchedLink, canWatch
from txsessions.stores._postgresql_statements import Statement
from txsessions.stores._postgresql_thread import ThreadedLink
from txsessions.stores._reactor import IStoreReactor
from txsessions.stores._worker import IWorker

Ready = Callable[["psycopg.Connection"], object]

FIRST_DELAY, LAST_DELAY = 0.1, 5.0
"""Seconds between two attempts to connect, at first and at last; the very first
attempt comes at once.  Each is varied by half, so that processes spread out."""


def delayAfter(failures: int, chance: Callable[[], float]) -> float:
    """
    How long to wait before the next attempt, in seconds.

    @param failures: How many have failed since there was a connection.
    @param chance: Gives numbers from 0 to 1.
    """
    delay = 0.0
    if failures:
        delay = min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 10))
    return delay * (0.5 + chance()) + 0.01 * chance()


class Connector:
    """
    Makes the connections of one line, one after the other.

    @ivar place: The database, for people.
    @ivar isConnecting: Whether an attempt is under way.
    """

    def __init__(
        self,
        conninfo: str,
        secrets: Sequence[str],
        place: str,
        reactor: IStoreReactor,
        makeWorker: Callable[[str], IWorker],
        ready: Ready,
    ) -> None:
        """
        @param conninfo: For libpq; complete, and perhaps with a password.
        @param secrets: What must not be seen in any message.
        @param ready: Called in the thread with each new connection.
        """
        self._conninfo = conninfo
        self._secrets = secrets
        self.place = place
        self._reactor = reactor
        self._makeWorker = makeWorker
        self._ready = ready
        self.isConnecting = False
        self.prepared: Sequence[Statement] = ()

    def connect(self) -> Deferred[psycopg.Connection]:
        """
        Connect.

        @return: Fails with a C{StoreError}.
        """
        result: Deferred[psycopg.Connection] = Deferred()
        self.isConnecting = True
        worker = self._makeWorker("txsessions-postgresql-connect")
        worker.do(lambda: self._connectInThread(result, worker))
        worker.quit()
        return result

    def _connectInThread(
        self, result: Deferred[psycopg.Connection], worker: IWorker
    ) -> None:
        """
        In the thread: connect, and tell the reactor's.
        """
        try:
            made: Any = self._makeInThread()
        except StoreError as error:
            made = Failure(error)
        except psycopg.Error as error:
            made = Failure(self._refusal(error))
        except Exception as error:
            made = Failure(StoreUnavailable(f"no connection: {error!r}"))
        self._reactor.callFromThread(self._made, result, made, worker)

    def _makeInThread(self) -> psycopg.Connection:
        """
        In the thread: connect, and make the connection ready.
        """
        connection = psycopg.connect(
            self._conninfo, autocommit=True, prepare_threshold=None
        )
        try:
            self._ready(connection)
            for statement in self.prepared:
                answer = connection.pgconn.prepare(
                    statement.name, statement.text, statement.types
                )
                if answer.status != psycopg.pq.ExecStatus.COMMAND_OK:
                    raise psycopg.OperationalError(answer.get_error_message())
        except BaseException:
            connection.close()
            raise
        return connection

    def _made(
        self, result: Deferred[psycopg.Connection], made: Any, worker: IWorker
    ) -> None:
        """
        The attempt is over.
        """
        worker.join()
        self.isConnecting = False
        result.callback(made)

    def _refusal(self, error: psycopg.Error) -> StoreError:
        """
        Say that it cannot be connected.
        """
        said = " ".join(str(error).split())
        for secret in self._secrets:
            said = said.replace(secret, "***")
        if error.sqlstate:
            primary = error.diag.message_primary or ""
            return storeError(error.sqlstate, primary, self.place)
        return StoreUnavailable(
            f"the session database {self.place} cannot be reached: {said}"
        )

    def makeLink(
        self, connection: psycopg.Connection, end: IEnd, writes: bool
    ) -> ILink:
        """
        Give a connection to the reactor, or to a thread where it cannot be watched.
        """
        limit, prepared = int(writes), bool(self.prepared)
        if canWatch(self._reactor):
            return WatchedLink(connection, end, limit, prepared, self._reactor)
        return ThreadedLink(
            connection, end, limit, prepared, self._reactor, self._makeWorker
        )


__all__ = ["FIRST_DELAY", "LAST_DELAY", "Connector", "Ready", "delayAfter"]
