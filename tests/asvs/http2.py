"""
A browser's request by HTTP/2.
"""

from __future__ import annotations

from email.message import Message
from unittest import mock

import twisted.internet

from tests.web.browsing import Answer
from tests.web.test_http2 import H2Client, Patient


class StreamAnswer(Answer):
    """
    What came on a stream, as other answers are read.
    """

    def __init__(self, stream):
        """
        @param stream: The stream, which has ended.
        """
        self.code, self.body = stream.code, stream.body
        self.headers = Message()
        for name, values in stream.headers.items():
            for value in values:
                self.headers[name.decode("ascii")] = value.decode("latin-1")


async def fetch(browser, path, site):
    """
    Send a request on a connection of its own, and wait for the answer.
    """
    world = browser.world
    # HTTP/2 takes its timers from the one reactor.
    with mock.patch.object(twisted.internet, "reactor", Patient(world.clock)):
        client = H2Client(world, site)
    client.jar = browser.jar
    number = client.send(path)
    stream = client.streams[number]
    while not stream.ended:
        # Reading takes time by the clock: the stores shall not be late by it.
        await world.written()
        client.receive()
    client.leave()
    answer = StreamAnswer(stream)
    world.check(answer)
    return answer


__all__ = ["fetch"]
