"""
An application's own classes of requests, which know Twisted's only: they stay what
they are, and their sessions are durable all the same.
"""

from __future__ import annotations

from klein import Klein
from twisted.web import server
from twisted.web.http import INonQueuedRequestFactory
from twisted.web.iweb import IRequest
from twisted.web.proxy import ProxyRequest
from twisted.web.resource import Resource
from zope.interface import provider
from zope.interface.verify import verifyObject

import txsessions
from tests.web.again import AgainCase, count
from txsessions.errors import ConfigurationError
from txsessions.web.composing import composeRequest
from txsessions.web.request import SessionRequest


class OwnRequest(server.Request):
    """
    A request class as applications have them.

    @ivar log: What happened.
    """

    def __init__(self, *args, **kwargs):
        """
        See C{Request}.
        """
        super().__init__(*args, **kwargs)
        self.log = ["made"]

    def process(self):
        """
        See C{Request.process}.
        """
        self.log.append("process")
        self.setHeader(b"X-Own", b"1")
        super().process()

    def write(self, data):
        """
        See C{Request.write}.
        """
        self.log.append(b"write " + data)
        super().write(data.upper())

    def finish(self):
        """
        See C{Request.finish}.
        """
        self.log.append("finish")
        super().finish()


@provider(INonQueuedRequestFactory)
class NonQueuedRequest(server.Request):
    """
    A request class that says that it needs no queue.
    """


class Quiet:
    """
    Keeps from those before it that there is another class.
    """

    def __init_subclass__(cls, **kwargs):
        """
        Tell nobody.
        """


class RequestTests(AgainCase):
    """
    A C{requestFactory} that is not ours.
    """

    def test_subclass(self):
        """
        What a subclass overrides is called, and its writing waits for the store.
        """
        seen = []

        def render(request):
            seen.append(request)
            return b"visit " + count(request)

        site = self.serve(render, requestFactory=OwnRequest)
        client = self.client()
        self.store.hold("insert")
        client.send()
        self.assertTrue(client.silent)
        self.store.pass_()
        answer = client.answer()
        self.assertEqual((answer.body, answer.get("X-Own")), (b"VISIT 1", "1"))
        self.assertEqual(client.fetch().body, b"VISIT 2")
        self.assertIs(site.requestFactory, OwnRequest)
        request = seen[0]
        self.assertIsInstance(request, OwnRequest)
        self.assertEqual(request.log, ["made", "process", b"write visit 1", "finish"])
        self.assertEqual(type(request).__name__, "OwnRequest")
        self.assertEqual(type(request).__module__, __name__)

    def test_restart(self):
        """
        Its sessions survive a restart.
        """
        self.serve(count, requestFactory=OwnRequest)
        client = self.client()
        client.fetch()
        site = self.restart(requestFactory=OwnRequest)
        self.assertEqual(self.again(client, site).fetch().body, b"2")

    def test_setLater(self):
        """
        The factory may be set on the site, as it may with Twisted's.
        """
        site = self.serve(count)
        site.requestFactory = OwnRequest
        self.assertEqual(self.client().fetch().get("X-Own"), "1")

    def test_classAttribute(self):
        """
        It may be set by a subclass of the site.
        """

        class OwnSite(txsessions.Site):
            """
            A site with its own requests.
            """

            requestFactory = OwnRequest

        self.serve(count, OwnSite)
        self.assertEqual(self.client().fetch().get("X-Own"), "1")

    def test_function(self):
        """
        It may be a function, whose requests are made durable one by one.
        """
        seen = []

        def make(channel, *args, **kwargs):
            seen.append(OwnRequest(channel, *args, **kwargs))
            return seen[-1]

        site = self.serve(count, requestFactory=make)
        client = self.client()
        client.fetch()
        self.assertIs(site.requestFactory, make)
        self.assertIsInstance(seen[0], SessionRequest)
        site = self.restart(requestFactory=make)
        self.assertEqual(self.again(client, site).fetch().body, b"2")

    def test_functionSaysThatItNeedsNoQueue(self):
        """
        What a function provides is still provided.
        """

        @provider(INonQueuedRequestFactory)
        def make(channel):
            return server.Request(channel)

        self.assertTrue(INonQueuedRequestFactory.providedBy(composeRequest(make)))

    def test_classSaysThatItNeedsNoQueue(self):
        """
        What a class itself provides, which is not inherited, is still provided.
        """
        made = composeRequest(NonQueuedRequest)
        self.assertIsNot(made, NonQueuedRequest)
        self.assertTrue(INonQueuedRequestFactory.providedBy(made))
        self.assertFalse(
            INonQueuedRequestFactory.providedBy(composeRequest(OwnRequest))
        )

    def test_once(self):
        """
        A class is composed once.
        """
        self.assertIs(composeRequest(OwnRequest), composeRequest(OwnRequest))

    def test_untouched(self):
        """
        Requests that have no sessions are left alone, as are those that have
        ours.
        """
        self.assertIs(composeRequest(ProxyRequest), ProxyRequest)
        self.assertIs(composeRequest(txsessions.Request), txsessions.Request)
        self.assertIs(composeRequest(server.Request), txsessions.Request)

        class Ours(txsessions.Request):
            """
            Derived from ours.
            """

        self.assertIs(composeRequest(Ours), Ours)

    def test_metaclass(self):
        """
        A class keeps its metaclass.
        """

        class Meta(type):
            """
            Notes the names of its classes.
            """

            names = ()

            def __new__(cls, name, bases, body):
                """
                Make a class.
                """
                Meta.names += (name,)
                return super().__new__(cls, name, bases, body)

        class WithMeta(server.Request, metaclass=Meta):
            """
            A class with a metaclass.
            """

        self.assertIs(type(composeRequest(WithMeta)), Meta)
        self.assertEqual(Meta.names, ("WithMeta", "WithMeta"))
        self.serve(count, requestFactory=WithMeta)
        self.assertEqual(self.client().fetch().body, b"1")

    def test_slots(self):
        """
        A class may have slots.
        """

        class WithSlots(server.Request):
            """
            A class with slots.
            """

            __slots__ = ("mine",)

            def process(self):
                """
                See C{Request.process}.
                """
                self.mine = b"1"
                self.setHeader(b"X-Mine", self.mine)
                server.Request.process(self)

        def make(*args):
            return WithSlots(*args)

        for factory in (WithSlots, make):
            self.serve(count, requestFactory=factory)
            answer = self.client(site=self.sites[-1]).fetch()
            self.assertEqual((answer.body, answer.get("X-Mine")), (b"1", "1"))

    def test_cannotBeCombined(self):
        """
        A class that cannot be derived from is refused when the site starts, and
        the message says what to do.
        """

        class Demanding(server.Request):
            """
            A class whose subclasses have to say more.
            """

            def __init_subclass__(cls, *, colour, **how):
                """
                Take a colour.
                """
                super().__init_subclass__(**how)

        site = txsessions.Site(Resource(), requestFactory=Demanding, reactor=self.clock)
        error = self.assertRaises(ConfigurationError, site.startFactory)
        self.assertIn("Demanding", str(error))
        self.assertIn("colour", str(error))
        self.assertIn("txsessions.Request", str(error))

    def test_interface(self):
        """
        A composed request provides C{IRequest}.
        """
        seen = []

        def render(request):
            seen.append(verifyObject(IRequest, request))
            return b""

        self.serve(render, requestFactory=OwnRequest)
        self.client().fetch()
        self.assertEqual(seen, [True])

    def test_klein(self):
        """
        The routes of klein work, also asynchronous ones.
        """
        app = Klein()

        @app.route("/")
        def home(request):
            return count(request)

        @app.route("/later")
        async def later(request):
            return b"later " + count(request)

        self.serve(app.resource())
        client = self.client()
        self.assertEqual(client.fetch().body, b"1")
        self.assertEqual(client.fetch("/later").body, b"later 2")
        site = self.restart(app.resource())
        self.assertEqual(self.again(client, site).fetch("/later").body, b"later 3")


class QuietTests(AgainCase):
    """
    A class of the program's that keeps from ours that there is another.
    """

    def test_behind(self):
        """
        What is behind ours is called all the same.
        """

        class Behind(server.Site):
            def getResourceFor(self, request):
                request.setHeader(b"X-Site", b"1")
                return super().getResourceFor(request)

        class Loud(server.Request):
            def write(self, data):
                super().write(data.upper())

        class OwnSite(Quiet, txsessions.Site, Behind):
            pass

        class Own(Quiet, txsessions.Request, Loud):
            pass

        def page(request):
            return b"visit " + count(request)

        self.serve(page, OwnSite, requestFactory=Own)
        answer = self.client().fetch()
        self.assertEqual((answer.body, answer.get("X-Site")), (b"VISIT 1", "1"))
