"""
Clients that send many requests at once, or that speak older HTTP.
"""

from __future__ import annotations

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, count


class PipeliningTests(WebCase):
    """
    Requests that are sent before the answers have come.
    """

    def test_inOrder(self):
        """
        Hundreds are answered in order, each with what the one before it has
        saved.
        """
        self.serve(count)
        client = self.client()
        client.fetch()
        self.store.hold()
        total = 500
        client.sendBytes(b"".join(client.render() for _ in range(total)))
        for _ in range(total):
            self.assertEqual(self.store.names(), ["replace"])
            self.store.release()
        answers = client.answers()
        self.assertEqual(
            [answer.body for answer in answers],
            [b"count %d" % (2 + n) for n in range(total)],
        )
        self.assertEqual(self.store.pending, [])

    def test_mixed(self):
        """
        Held and unheld ones keep their order.
        """
        self.serve(
            lambda request: b"plain" if request.args else count(request),
        )
        client = self.client()
        client.fetch()
        self.store.hold()
        client.sendBytes(
            b"".join(client.render(path) for path in ("/?p=1", "/", "/?p=1", "/"))
        )
        self.assertEqual(client.answer().body, b"plain")
        self.store.release()
        self.assertEqual(
            [answer.body for answer in client.answers()], [b"count 2", b"plain"]
        )
        self.store.release()
        self.assertEqual(client.answer().body, b"count 3")

    def test_storeFailsForOne(self):
        """
        A failed save is one 503 among others.
        """
        self.serve(count)
        client = self.client()
        client.fetch()
        self.store.hold()
        client.sendBytes(b"".join(client.render() for _ in range(3)))
        self.store.release()
        self.store.fail(OUTAGE)
        self.store.release()
        self.assertEqual(
            [(answer.code, answer.body[:7]) for answer in client.answers()],
            [(200, b"count 2"), (503, b"<!DOCTY"), (200, b"count 3")],
        )

    def test_manyWithoutWaiting(self):
        """
        A store that answers at once makes no deep stacks.
        """
        self.serve(count)
        client = self.client()
        client.fetch()
        client.sendBytes(b"".join(client.render() for _ in range(2000)))
        self.assertEqual(client.answers()[-1].body, b"count 2001")


class OlderTests(WebCase):
    """
    HTTP/1.0 and connections that are not kept.
    """

    def test_http10(self):
        """
        HTTP/1.0 is answered and closed, after the save.
        """
        self.serve(count)
        client = self.client()
        self.store.hold()
        client.send(version="HTTP/1.0")
        self.assertTrue(client.silent)
        self.assertFalse(client.wire.disconnecting)
        self.store.release()
        answer = client.answer()
        self.assertEqual(answer.body, b"count 1")
        self.assertTrue(answer.sets)
        self.assertTrue(client.wire.disconnecting)

    def test_close(self):
        """
        So is C{Connection: close}.
        """
        self.serve(count)
        client = self.client()
        self.store.hold()
        client.send(headers=("Connection: close",))
        self.store.release()
        self.assertEqual(client.answer().get("connection"), "close")
        self.assertTrue(client.wire.disconnecting)

    def test_idleTimeout(self):
        """
        The idle timeout does not run while a reply is held, and runs after it.
        """
        self.serve(count)
        client = self.client()
        self.store.hold()
        client.send()
        self.clock.advance(50)
        self.clock.advance(50)
        self.assertFalse(client.wire.disconnecting)
        self.store.release()
        self.assertEqual(client.answer().body, b"count 1")
        self.clock.advance(61)
        self.assertTrue(client.wire.disconnecting)
