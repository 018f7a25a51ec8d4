"""
Several servers on one store, restarted one by one under load.

Owns the servers, and the clients that go on counting meanwhile, each request with
whatever server, and write down what must not be: whoever is logged out, or gets
another cookie, or is refused by a server that nobody restarts.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.crash.nursery import startServer
from tests.crash.visiting import Broken, Connection

CLIENTS = 5
"""How many count."""


class Fleet:
    """
    The servers.

    @ivar servers: Those that run.
    """

    def __init__(self, case, folder, size, **options):
        """
        Start them.
        """
        self._start = lambda: startServer(case, folder, **options)
        self.servers = [self._start() for _ in range(size)]
        self._restarting = set()

    def restart(self):
        """
        Restart one after the other.
        """
        for number in range(len(self.servers)):
            self.restartOne(number)

    def restartOne(self, number):
        """
        Restart one.
        """
        self._restarting.add(number)
        status = self.servers[number].end(signal.SIGTERM)
        if status:
            raise AssertionError(f"the server's exit status was {status}")
        self.servers[number] = self._start()
        self._restarting.discard(number)

    def mayRefuse(self, number, server):
        """
        Whether a server that was asked a moment ago may have been ending.
        """
        return number in self._restarting or self.servers[number] is not server


class Client:
    """
    Somebody who counts.

    @ivar answered: How often he was answered.
    @ivar refused: How often he was not, by a server that was restarted.
    @ivar faults: What must not be.
    """

    def __init__(self, fleet, seed):
        self._fleet = fleet
        self._chance = random.Random(seed)
        self._connections = {}
        self._uid = None
        self._count = self._open = 0
        self.answered = self.refused = 0
        self.faults = []

    def step(self):
        """
        Count once.
        """
        number = self._chance.randrange(len(self._fleet.servers))
        server = self._fleet.servers[number]
        try:
            answer = self._connection(server).ask("count", self._uid)
        except Broken as error:
            self._drop(server)
            self._refused(number, server, str(error))
            return
        if answer.status == 200:
            self._counted(answer)
        elif answer.status == 503:
            self._refused(number, server, answer.told["error"])
        else:
            self.faults.append(f"{answer.status}: {answer.told}")
        if answer.status != 200 and answer.uid is not None:
            self.faults.append(f"{answer.status} with a cookie")

    def _counted(self, answer):
        """
        Compare an answer with what was counted.
        """
        told = answer.told
        if self._uid is None:
            self._uid, self._count, self._open = answer.uid, 0, 0
            if not answer.uid:
                self.faults.append("a new session without a cookie")
        elif answer.uid is not None or told["isNew"]:
            self.faults.append(f"logged out: {told}")
            self._uid, self._count, self._open = answer.uid, told["count"] - 1, 0
        first = self._count + 1
        if not first <= told["count"] <= first + self._open:
            self.faults.append(f"{told} instead of {first} and {self._open} cut off")
        self._count, self._open = told["count"], 0
        self.answered += 1

    def _refused(self, number, server, why):
        """
        There was no answer, or one that says that there is none.  What was asked may
        have been done all the same.
        """
        self._open += 1
        self.refused += 1
        if not self._fleet.mayRefuse(number, server):
            self.faults.append(f"refused by a server that runs: {why}")

    def _connection(self, server):
        """
        A connection to a server.
        """
        if server not in self._connections:
            self._connections[server] = Connection(server.port)
        return self._connections[server]

    def _drop(self, server):
        """
        A connection is of no more use.
        """
        if server in self._connections:
            self._connections.pop(server).close()

    def close(self):
        """
        Be done.
        """
        for connection in self._connections.values():
            connection.close()


@contextlib.contextmanager
def load(fleet, count=CLIENTS):
    """
    Have clients count meanwhile.

    @return: The clients.
    """
    clients = [Client(fleet, number) for number in range(count)]
    over = threading.Event()

    def run(client):
        while not over.is_set():
            client.step()

    with ThreadPoolExecutor(count) as threads:
        running = [threads.submit(run, client) for client in clients]
        try:
            yield clients
        finally:
            over.set()
            for each in running:
                each.result()
            for client in clients:
                client.close()


__all__ = ["CLIENTS", "Client", "Fleet", "load"]
