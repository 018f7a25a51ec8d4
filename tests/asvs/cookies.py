"""
All that a site says of its session cookie, and policies that leave something out.
"""

from __future__ import annotations

from twisted.internet.defer import fail

from tests.asvs.world import KINDS, AuditCase
from tests.web import rfc6265
from tests.web.pages import OUTAGE
from txsessions import CookiePolicy

JOURNEY = (
    "/count",
    "/rotate",
    "/in",
    "/in?level=2",
    "/password",
    "/in?who=bob",
    "/out",
)
"""Pages whose answers say something of the cookie, one after the other."""

WAYS = ({}, {"http2": True}, {"behindProxy": True, "secure": False})
"""How browsers come by TLS."""

PROXIED = ("X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.9")
"""What the proxy says."""


def behindProxy(**how):
    """
    A policy that also believes the proxy that a browser may be behind.
    """
    return CookiePolicy(trustedProxies=["192.168.1.1"], **how)


def without(what, instead=b""):
    """
    Make a policy whose cookies lack something.

    @param what: A part of the C{Set-Cookie} values.
    @param instead: What stands there.
    """

    class LackingPolicy(CookiePolicy):
        """
        Says less than it should.
        """

        def render(self, *arguments):
            """
            See L{CookiePolicy.render}.
            """
            return super().render(*arguments).replace(what, instead)

        def renderDeletion(self, *arguments):
            """
            See L{CookiePolicy.renderDeletion}.
            """
            return super().renderDeletion(*arguments).replace(what, instead)

    return LackingPolicy(trustedProxies=["192.168.1.1"])


class CookieCase(AuditCase):
    """
    Checks of what is said of the cookie.
    """

    async def said(self, world):
        """
        Go everywhere by TLS, in each way, and log out at last while the store keeps
        nothing.

        @return: Each C{Set-Cookie} value that came, as bytes and taken apart.
        """
        for way in WAYS:
            browser = world.browser(**way)
            more = {"headers": PROXIED} if "behindProxy" in way else {}
            for path in JOURNEY:
                answer = await browser.get(path, **more)
                self.assertEqual(answer.code, 200)
                self.assertEqual(len(answer.all("set-cookie")), 1, path)
            for store in world.stores:
                await browser.get("/in", **more)
                # What the store may be asked first, it answers.
                store.delete = lambda *_: fail(OUTAGE)
                answer = await browser.get("/out", **more)
                self.assertEqual((answer.code, answer.deletes), (503, True))
                del store.delete
        lines = [line for each in world.answers for line in each.all("set-cookie")]
        self.assertGreaterEqual(len(lines), len(WAYS) * len(JOURNEY))
        found = []
        for line in lines:
            try:
                found.append(
                    (line.encode("latin-1"), rfc6265.parse(line.encode("latin-1")))
                )
            except rfc6265.NotClean as error:
                self.fail(f"{line}: {error}")
        return found

    async def always(self, check, **how):
        """
        Run a check in all worlds, with a policy that is the default's otherwise.
        """
        await self.holds(check, KINDS, cookies=behindProxy(**how))


__all__ = ["CookieCase", "behindProxy", "without"]
