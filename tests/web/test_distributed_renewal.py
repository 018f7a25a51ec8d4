"""
New ids in time where another process has received the request.
"""

from __future__ import annotations

from tests.web.pages import look
from tests.web.pair import DistributedCase
from tests.web.renewing import INTERVAL, RULE


def page(request):
    """
    A page that counts if it is asked to.
    """
    if request.path == b"/count":
        session = request.getSession()
        session["count"] = session.sessionNamespaces.get("count", 0) + 1
    return look(request)


class RenewalTests(DistributedCase):
    """
    The process behind renews.
    """

    async def test_renewed(self):
        """
        Its answer carries the new id, whoever comes with the old one is told it, and
        then the old one reads.
        """
        await self.serveBehind(page, store=self.address())
        self.back.renewal = RULE
        self.serveInFront()
        await self.fetch("/count")
        [session] = self.back.sessions.values()
        session._createdAt -= INTERVAL
        old = dict(self.jar)
        await self.fetch("/")
        new = dict(self.jar)
        self.assertNotEqual(new, old)
        self.jar = dict(old)
        answer = await self.fetch("/count")
        self.assertEqual((answer.body, self.jar), (b"count 2", new))
        answer = await self.fetch("/")
        self.assertEqual((answer.body, answer.cookies), (b"count 2", []))
        self.jar = dict(old)
        answer = await self.fetch("/")
        self.assertEqual((answer.body, answer.cookies), (b"count 2", []))
        for method, code in (("GET", 307), ("POST", 409)):
            answer = await self.fetch("/count", method)
            self.assertEqual((answer.code, answer.cookies), (code, []))
        self.jar = new
        self.assertEqual((await self.fetch("/")).body, b"count 2")
