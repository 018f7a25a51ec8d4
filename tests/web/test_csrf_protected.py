"""
Resources that are out of reach of other sites.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.resource import EncodingResourceWrapper, IResource, Resource
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory
from twisted.web.util import DeferredResource
from zope.interface import implementer

from tests.web.forms import FORM, FormsCase
from tests.web.pages import OUTAGE, Page, change
from txsessions import CookiePolicy, CSRFProtected
from txsessions.errors import ConfigurationError

SAME, NONE, SITE, CROSS = (
    f"Sec-Fetch-Site: {said}"
    for said in ("same-origin", "none", "same-site", "cross-site")
)
OWN = "Origin: http://example.org"
OTHER = "Origin: http://evil.example"


def shop(request):
    """
    Show a token, or do something.
    """
    session = request.getSession()
    if request.method in {b"GET", b"HEAD", b"OPTIONS"}:
        return session.csrfToken.encode("ascii")
    return b"done %d" % change(request)["count"]


class Tree(Resource):
    """
    A resource with pages below, that notes who has been looked for.
    """

    def __init__(self):
        super().__init__()
        self.seen = []

    def getChild(self, path, request):
        """
        See C{Resource.getChild}.
        """
        self.seen.append(path)
        return self if path == b"below" else Page(shop)


@implementer(IResource)
class Bare:
    """
    As little of a resource as there may be.
    """

    isLeaf = True

    def getChildWithDefault(self, name, request):
        """
        See C{IResource.getChildWithDefault}.
        """

    def putChild(self, path, child):
        """
        See C{IResource.putChild}.
        """

    def render(self, request):
        """
        See C{IResource.render}.
        """
        return shop(request)


class ProtectedCase(FormsCase):
    """
    A site that is out of reach of others.
    """

    def protect(self, resource=None, how=None, **site):
        """
        Serve a resource.

        @param how: What L{CSRFProtected} is told.
        """
        self.resource = Tree() if resource is None else resource
        self.serve(CSRFProtected(self.resource, **(how or {})), **site)
        self.visitor = self.client(site=self.sites[-1])
        return self.visitor


class RuleTests(ProtectedCase):
    """
    What passes.
    """

    ROWS = (
        # headers, passes with a token, passes without where none is demanded
        ((), True, False),
        ((SAME,), True, True),
        ((NONE,), True, True),
        ((SITE,), False, False),
        ((CROSS,), False, False),
        (("Sec-Fetch-Site:",), False, False),
        (("Sec-Fetch-Site: Same-Origin",), False, False),
        (("Sec-Fetch-Site: same-origin, cross-site",), False, False),
        ((SAME, CROSS), False, False),
        ((SAME, OTHER), True, True),
        ((CROSS, OWN), False, False),
        ((SITE, OWN), False, False),
        ((OWN,), True, True),
        (("Origin: http://EXAMPLE.org:80",), True, True),
        (("Origin: https://example.org",), True, True),
        ((OTHER,), False, False),
        (("Origin: http://www.example.org",), False, False),
        (("Origin: http://example.org.evil.example",), False, False),
        (("Origin: http://example.org:8080",), False, False),
        (("Origin: null",), True, False),
        ((SAME, "Origin: null"), True, True),
        ((CROSS, "Origin: null"), False, False),
        (("Origin: null", OWN), False, False),
        (("Origin:",), False, False),
        ((OWN, OTHER), False, False),
        ((OWN, OWN), False, False),
        (("Referer: http://evil.example/",), True, False),
    )

    def test_rows(self):
        """
        Each line of the table, with a token and without.
        """
        for demanded in (True, False):
            visitor = self.protect(how={"requireToken": demanded})
            token = self.token(visitor)
            for headers, withToken, without in self.ROWS:
                for sent, passes in (
                    (token, withToken),
                    (None, without and not demanded),
                    ("x", without and not demanded),
                ):
                    answer = self.post(visitor, sent, headers=headers)
                    wanted = 200 if passes else 403
                    self.assertEqual(answer.code, wanted, (demanded, headers, sent))

    def test_header(self):
        """
        A script's header is as good as a form's field, but for a request that the
        browser says is another site's.
        """
        visitor = self.protect()
        token = f"X-CSRF-Token: {self.token(visitor)}"
        for method in ("POST", "PUT", "DELETE"):
            self.assertDone(visitor.fetch("/", method, headers=(token, SAME)))
        self.assertRefused(visitor.fetch("/", "POST", headers=(token, CROSS)))

    def test_methods(self):
        """
        All methods but the harmless ones are looked at, known or not; in small
        letters they are others.
        """
        visitor = self.protect()
        self.token(visitor)
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = visitor.fetch("/", method, headers=(CROSS, OTHER))
            self.assertEqual(answer.code, 200, method)
        for method in ("POST", "PUT", "PATCH", "DELETE", "BREW", "get", "TRACE"):
            self.assertRefused(visitor.fetch("/", method))
            self.assertRefused(visitor.fetch("/", method, headers=(CROSS,)))
        self.assertNotIn("count", self.only())

    def test_overTLS(self):
        """
        Over TLS a page that came without it is another site, also behind a proxy
        where the site is told that there is one.
        """
        for policy, how in [
            (CookiePolicy(), {"secure": True}),
            (CookiePolicy(secure="always"), {"behindProxy": True}),
        ]:
            self.protect(how={"requireToken": False}, cookies=policy)
            visitor = self.client(site=self.sites[-1], **how)
            self.token(visitor)
            self.assertEqual(self.post(visitor, headers=(OWN,)).code, 403)
            secure = ("Origin: https://example.org",)
            self.assertEqual(self.post(visitor, headers=secure).code, 200)

    def test_withoutHost(self):
        """
        Without a C{Host} no origin is the request's own.
        """
        visitor = self.protect(how={"requireToken": False})
        visitor._methods.append("POST")
        visitor.sendBytes(b"POST / HTTP/1.0\r\nOrigin: http://example.org\r\n\r\n")
        self.assertRefused(visitor.answer(), "")

    def test_origins(self):
        """
        Origins that the program names pass; a token is needed all the same.
        """
        origins = ["https://www.example.org", "http://app.example.org:8080"]
        visitor = self.protect(how={"origins": origins})
        token = self.token(visitor)
        for origin, passes in [
            ("https://www.example.org", True),
            ("https://www.example.org:443", True),
            ("http://app.example.org:8080", True),
            ("http://www.example.org", False),
            ("http://app.example.org", False),
        ]:
            for headers in ((f"Origin: {origin}",), (f"Origin: {origin}", SITE)):
                answer = self.post(visitor, token, headers=headers)
                self.assertEqual(answer.code, 200 if passes else 403, headers)
                self.assertEqual(self.post(visitor, headers=headers).code, 403)
        for wrong in ("www.example.org", "https://example.org/", "*", "null", ""):
            self.assertRaises(
                ConfigurationError, CSRFProtected, Resource(), origins=[wrong]
            )

    def test_exempt(self):
        """
        What the program exempts passes, a program with a bearer token say, and
        nothing else does.
        """

        def exempt(request):
            return request.path.startswith(b"/hooks/")

        visitor = self.protect(how={"exempt": exempt})
        self.token(visitor)
        bearer = "Authorization: Bearer abc"
        for headers in ((), (CROSS,), (bearer,)):
            self.assertDone(visitor.fetch("/hooks/a", "POST", headers=headers))
            self.assertEqual(visitor.fetch("/", "POST", headers=headers).code, 403)

    def test_withoutSession(self):
        """
        A request without a session is refused, lest a visitor is signed in under
        another one's name; the login form's own request passes.
        """
        visitor = self.protect()
        answer = self.post(visitor, headers=(SAME,), user="eve")
        self.assertRefused(answer, "")
        self.assertEqual(answer.all("set-cookie"), [])
        self.assertEqual(self.stored(), 0)
        self.assertDone(self.post(visitor, self.token(visitor), headers=(SAME,)))


class ResourceTests(ProtectedCase):
    """
    What can be wrapped.
    """

    def assertProtected(self, path="/", **fetch):
        """
        See that a token is asked for, and is enough.
        """
        token = f"X-CSRF-Token: {self.token(self.visitor)}"
        del self.heard.events[:]
        self.assertRefused(self.visitor.fetch(path, "POST", **fetch))
        answer = self.visitor.fetch(path, "POST", headers=(token,), **fetch)
        self.assertDone(answer)

    def test_nothingRuns(self):
        """
        Of the resource nothing runs before the request is refused, not even the
        looking for what is below.
        """
        self.protect()
        self.token(self.visitor)
        del self.resource.seen[:]
        for path in ("/", "/below/below/x", "/x"):
            self.assertRefused(self.visitor.fetch(path, "POST"))
        self.assertEqual(self.resource.seen, [])
        self.assertProtected("/below/below/x")

    def test_leaf(self):
        """
        A resource that looks after its paths itself.
        """
        self.protect(Page(shop))
        self.assertProtected("/a/b")

    def test_bare(self):
        """
        A resource that is no C{Resource}.
        """
        self.protect(Bare())
        self.assertProtected("/a/b")

    def test_part(self):
        """
        A part of a tree; the rest is none of its business.
        """
        root = Resource()
        root.putChild(b"", Page(shop))
        root.putChild(b"open", Page(shop))
        protected = CSRFProtected(Resource())
        protected.putChild(b"x", Page(shop))
        root.putChild(b"shop", protected)
        self.serve(root)
        self.visitor = self.client()
        self.assertProtected("/shop/x")
        self.assertDone(self.visitor.fetch("/open", "POST"))

    def test_deferred(self):
        """
        Resources that are there later, inside and outside.
        """
        for wrap in (
            lambda d: CSRFProtected(DeferredResource(d)),
            lambda d: DeferredResource(d.addCallback(CSRFProtected)),
        ):

            def route(request, wrap=wrap):
                d = Deferred()
                self.clock.callLater(0, d.callback, Page(shop))
                return wrap(d)

            root = Resource()
            root.putChild(b"", Page(shop))
            root.getChild = lambda path, request, route=route: route(request)
            self.serve(root)
            visitor = self.client(site=self.sites[-1])
            token = f"X-CSRF-Token: {self.token(visitor)}"
            for headers, code in [((), 403), ((token,), 200)]:
                visitor.send("/x", "POST", headers=headers)
                self.turn(2)
                self.assertEqual(visitor.answer().code, code)

    def test_encoding(self):
        """
        An encoder inside or outside.
        """
        gzip = [GzipEncoderFactory()]
        leaf = Page(lambda request: b"x" * 1000)
        for resource in (
            CSRFProtected(EncodingResourceWrapper(leaf, gzip)),
            EncodingResourceWrapper(CSRFProtected(leaf), gzip),
        ):
            self.serve(resource)
            visitor = self.client(site=self.sites[-1])
            accept = "Accept-Encoding: gzip"
            answer = visitor.fetch(headers=(accept,))
            self.assertEqual(answer.get("content-encoding"), "gzip")
            self.assertLess(len(answer.body), 100)
            self.assertEqual(visitor.fetch(method="POST", headers=(accept,)).code, 403)

    def test_later(self):
        """
        A page that answers later.
        """

        def later(request):
            def answer():
                request.write(shop(request))
                request.finish()

            self.clock.callLater(0, answer)
            return NOT_DONE_YET

        self.protect(Page(later))
        visitor = self.visitor
        visitor.send()
        self.turn(2)
        token = visitor.answer().body.decode("ascii")
        self.assertRefused(visitor.fetch("/", "POST"))
        visitor.send("/", "POST", headers=(f"X-CSRF-Token: {token}",))
        self.turn(2)
        self.assertDone(visitor.answer())

    def test_body(self):
        """
        Bodies of all sizes, which the resource reads as ever.
        """

        def measure(request):
            if request.method == b"GET":
                return shop(request)
            change(request)
            return b"done %d" % len(request.content.read())

        self.protect(Page(measure))
        token = self.token(self.visitor)
        for size in (0, 1, 99_000, 3_000_000):
            body = f"csrf_token={token}&a=".encode("ascii") + b"x" * size
            answer = self.visitor.fetch(method="POST", headers=(FORM,), body=body)
            self.assertEqual(answer.body, b"done %d" % len(body))
            bad = body.replace(b"csrf", b"CSRF")
            answer = self.visitor.fetch(method="POST", headers=(FORM,), body=bad)
            self.assertEqual(answer.code, 403)

    def test_klein(self):
        """
        Klein's routes, within and without, and a token that a route looks at.
        """
        from klein import Klein

        from txsessions import checkCSRF

        app = Klein()

        @app.route("/", methods=["GET", "POST"])
        def root(request):
            return shop(request)

        @app.route("/async", methods=["POST"])
        async def asynchronous(request):
            return shop(request)

        @app.route("/checks", methods=["POST"])
        async def checks(request):
            checkCSRF(request)
            return shop(request)

        self.protect(app.resource())
        self.assertProtected("/")
        self.assertProtected("/async")
        self.visitor = self.again(self.visitor, self.serve(app.resource()))
        self.assertProtected("/checks")

    def test_page(self):
        """
        The page that says so may be the application's.
        """
        refused = []

        def say(request):
            refused.append(request.method)
            return b"No. Please reload the page."

        self.protect(how={"page": Page(say)})
        answer = self.visitor.fetch("/below/x", "POST")
        self.assertRefused(answer, "")
        self.assertEqual(answer.body, b"No. Please reload the page.")
        self.assertEqual(refused, [b"POST"])

    def test_names(self):
        """
        The field and the header may be called otherwise.
        """
        self.protect(how={"field": "t", "header": "X-T"})
        token = self.token(self.visitor)
        self.assertDone(self.post(self.visitor, t=token))
        self.assertDone(self.post(self.visitor, headers=(f"X-T: {token}",)))
        self.assertRefused(self.post(self.visitor, token))

    def test_outage(self):
        """
        While the store is out of order a request is neither heard nor refused for
        good; what the browser says needs no store.
        """
        visitor = self.protect()
        token = self.token(visitor)
        self.store.sharedWithOthers = True
        self.store.down = OUTAGE
        self.assertEqual(self.post(visitor, token).code, 503)
        self.assertEqual(self.post(visitor, token, headers=(CROSS,)).code, 403)

    def test_likeTheResource(self):
        """
        For the rest it is as what it wraps.
        """
        tree = Tree()
        protected = CSRFProtected(tree)
        self.assertFalse(protected.isLeaf)
        self.assertTrue(CSRFProtected(Bare()).isLeaf)
        protected.putChild(b"x", Page(shop))
        self.assertEqual(tree.listNames(), [b"x"])
        self.assertEqual(protected.listNames(), [b"x"])
        self.assertTrue(IResource.providedBy(protected))
        self.assertFalse(hasattr(protected, "nothing"))
        self.assertRaises(AttributeError, getattr, object.__new__(CSRFProtected), "x")
        self.assertIsNone(protected._refused.putChild(b"x", tree))
        self.assertIs(
            protected._refused.getChildWithDefault(b"x", None), protected._refused
        )
