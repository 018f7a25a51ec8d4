"""
What can never be saved, and what becomes of an object that was dropped.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.pages import change, count
from tests.web.test_failing import FailingCase
from txsessions.errors import CannotBeKept, SessionStale, SessionTooLarge


class StaleTests(FailingCase):
    """
    The live object after a failed save.
    """

    def test_laterUse(self):
        """
        Later use of the object, and of the request, raises SessionStale.
        """
        kept = []

        def page(request):
            kept.append((request, change(request)))
            request.write(b"one")
            return NOT_DONE_YET

        self.serve(page)
        self.refuse(self.client())
        request, session = kept[0]
        self.assertRaises(SessionStale, request.getSession)
        self.assertRaises(SessionStale, session.save)
        self.assertRaises(SessionStale, session.rotate, request)

    def test_inAnotherRequest(self):
        """
        A request that held the object when it was dropped is answered 503, and
        nothing of what it changed afterwards is saved.
        """
        waiting = []

        def page(request):
            session = request.getSession()
            if request.args:
                waiting.append((request, session))
                return NOT_DONE_YET
            return count(request)

        self.serve(page)
        writer = self.client()
        writer.fetch()
        other = self.client(jar=writer.jar)
        other.send("/?wait=1")
        self.assertEqual(self.refuse(writer).code, 503)
        request, session = waiting[0]
        session["count"] = 100
        request.write(b"done")
        request.finish()
        self.assertEqual(other.answer().code, 503)
        self.assertEqual(writer.fetch().body, b"count 2")

    def test_uncaught(self):
        """
        SessionStale, uncaught, is a 503 too.
        """
        kept = []

        def page(request):
            if kept:
                kept[0].rotate(request)
            session = change(request)
            kept.append(session)
            return b""

        self.serve(page)
        client = self.client()
        self.refuse(client)
        self.assertEqual(client.fetch().code, 503)


class UnsavableTests(FailingCase):
    """
    500: what can never be saved.
    """

    expects500 = True

    def test_tooLarge(self):
        """
        A state that is too large is a 500; what was there before is kept.
        """

        def page(request):
            session = change(request)
            if request.args:
                session["large"] = b"x" * 70_000
            return b"count %d" % session["count"]

        self.serve(page)
        client = self.client()
        client.fetch()
        answer = client.fetch("/?large=1")
        self.assertEqual(answer.code, 500)
        self.assertIsNone(answer.get("retry-after"))
        self.assertIsNone(answer.cookie)
        self.assertEqual(client.fetch().body, b"count 2")

    def test_limits(self):
        """
        So is a state beyond the limits of what can be encoded.
        """
        deep = []
        for _ in range(40):
            deep = [deep]
        for value in ("\ud800", deep, dict.fromkeys(range(1001))):
            site = self.serve(lambda request, value=value: self.put(request, value))
            answer = self.client(site=site).fetch()
            self.assertEqual(answer.code, 500)
            self.assertIsNone(answer.cookie)
        self.assertEqual(self.stored(), 0)

    def put(self, request, value):
        """
        Put a value into the session.
        """
        request.getSession()["value"] = value
        return b"put"

    def test_strict(self):
        """
        In a strict site, so is one with something that cannot be kept.
        """
        self.serve(lambda request: self.put(request, object()), strict=True)
        self.assertEqual(self.client().fetch().code, 500)

    def test_inTheBackground(self):
        """
        The same answer whether it is noticed at the first byte or before, for a
        page that goes on in the background.
        """
        waiting = []

        def page(request):
            self.put(request, b"x" * 70_000)
            waiting.append(request)
            return NOT_DONE_YET

        self.serve(page)
        client = self.client()
        client.send()
        waiting[0].write(b"done")
        waiting[0].finish()
        self.assertEqual(client.answer().code, 500)

    def test_save(self):
        """
        C{session.save()} tells by its Deferred.
        """
        errors = []

        def page(request):
            session = request.getSession()
            session["large"] = b"x" * 70_000
            session.save().addErrback(lambda f: errors.append(f.type))
            session = request.getSession()
            return b"unreachable"

        self.serve(page)
        self.assertEqual(self.client().fetch().code, 503)
        self.assertEqual(errors, [SessionTooLarge])
        self.assertTrue(issubclass(CannotBeKept, Exception))
