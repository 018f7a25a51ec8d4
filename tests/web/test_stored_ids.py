"""
Hostile ids by whole requests, in two sites on a store of each kind: those that are
guessed, made up, disguised or another site's, and chance that is none.
"""

from __future__ import annotations

import os

from tests.asvs.test_v7_2_1 import forgeries
from tests.live.sites import Listener
from tests.web.stored import StoredCase, inEveryStore
from txsessions import CookiePolicy
from txsessions.core.uid import storeKeyOf
from txsessions.live.events import EventKind

GUESSES = 100
"""How many ids are guessed."""

NAUGHTY = [
    "' OR 1=1--",
    "x'); DROP TABLE sessions;--",
    "%",
    "_" * 64,
    "'" * 64,
    '"' * 64,
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "nul",
    "con",
    "*",
    "[a-f0-9]*",
    "{tag}",
    "$536870912",
    "FLUSHALL",
    "\\r\\nFLUSHALL\\r\\n",
    "a" * 15_000,
    "\N{FULLWIDTH DIGIT ZERO}" * 64,
    "\N{CYRILLIC SMALL LETTER A}" * 64,
    "\N{RIGHT-TO-LEFT OVERRIDE}" + "a1" * 32,
]
"""What means something to an engine, a file system or a reader."""


class IdTests(StoredCase):
    """
    Ids.
    """

    isWatched = True

    def setUp(self):
        """
        Serve, and hear what is refused.
        """
        super().setUp()
        self.heard = Listener()
        self.site.addSessionListener(self.heard)

    async def asked(self, header, site=None, path="/look", **how):
        """
        What somebody is answered who sends this C{Cookie} header, or some of them.
        """
        headers = [header] if isinstance(header, str) else header
        lines = tuple(f"Cookie: {each}".encode().decode("latin-1") for each in headers)
        client = self.client(site)
        answer = await self.fetch(client, path, headers=lines, cookies=False, **how)
        self.assertEqual(answer.code, 200)
        return answer

    def refused(self):
        """
        Why visitors were refused since this was last asked.
        """
        told = [e.reason for e in self.heard.events if e.kind is EventKind.REFUSED]
        del self.heard.events[:]
        return told

    async def signedIn(self):
        """
        Somebody who is signed in.

        @return: The browser, and its id.
        """
        ann = await self.visitor("/count", "/in")
        return ann, ann.sent()[0].partition(b"=")[2].decode()

    async def test_guessed(self):
        """
        Ids of the right form that nobody has given out are nobody's: none is taken
        over, and the store stays as it is.
        """
        ann, _ = await self.signedIn()
        before = self.place.held()
        for _ in range(GUESSES):
            answer = await self.asked(f"sid={os.urandom(32).hex()}")
            self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))
        self.assertEqual(self.place.held(), before)
        guess = os.urandom(32).hex()
        answer = await self.asked(f"sid={guess}", path="/count")
        self.assertNotEqual(answer.cookie.value, guess)
        held = b"|".join(self.place.held())
        self.assertNotIn(storeKeyOf(b"", guess.encode()), held)
        self.assertEqual(await self.who(ann), ["ann"])

    async def test_disguised(self):
        """
        What has not the form of an id, however much of one is in it, is refused before
        the store is asked, and leaves nothing there, nor in the file system.
        """
        ann, uid = await self.signedIn()
        (handle,) = await self.handles()
        values = [
            *NAUGHTY,
            *(v for v in forgeries(uid, handle) if len(v) != 64 or not v.isalnum()),
            *(uid[:32], f"0x{uid}", f" {uid[:-1]}", f"{uid} {uid}", f"{uid},b=2"),
        ]
        held, sent = self.place.held(), self.place.sent()
        folder = sorted(self.folder.iterdir())
        here = sorted(os.listdir())
        for value in values:
            answer = await self.asked(f"sid={value}")
            self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False), value)
        self.assertEqual(self.refused(), ["malformed"] * len(values))
        # Nor is one found that comes by another way, or is called otherwise.
        path = f"/look?sid={uid}"
        for name in (
            "SID",
            "Sid",
            "xsid",
            "sid\x0b",
            "%73id",
            "$sid",
            '"sid"',
            "a=1, sid",
        ):
            answer = await self.asked(f"{name}={uid}", path=path)
            self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False), name)
        self.assertEqual(self.place.sent(), sent)
        self.assertEqual(self.place.held(), held)
        self.assertEqual(sorted(self.folder.iterdir()), folder)
        self.assertEqual(sorted(os.listdir()), here)
        self.assertEqual(await self.who(ann), ["ann"])

    async def test_tossed(self):
        """
        Of two that differ neither is used, whatever they are, in one header and in
        two; one that stands there twice is.
        """
        _, uid = await self.signedIn()
        mallory = await self.visitor("/in?who=mallory")
        other = mallory.sent()[0].partition(b"=")[2].decode()
        self.refused()
        for second in (other, os.urandom(32).hex(), "x", ""):
            for pair in ((uid, second), (second, uid)):
                one, two = (f"sid={each}" for each in pair)
                for header in (
                    f"{one}; {two}",
                    (one, two),
                    (f"a=1; {one}", f"{two}; b=2"),
                ):
                    answer = await self.asked(header)
                    self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))
                self.assertEqual(self.refused(), ["duplicate"] * 3)
        for header in (
            f"sid={uid}; sid={uid}",
            [f"sid={uid}"] * 2,
            f'x="; sid={uid}; "',
        ):
            self.assertEqual((await self.asked(header)).body, b"ann 1 1")
        self.assertEqual(self.refused(), [])

    async def test_storeKey(self):
        """
        Nothing that a store, a log or a page knows of a session is an id.
        """
        _, uid = await self.signedIn()
        for value in forgeries(uid, (await self.handles())[0]):
            for site in (self.site, self.there):
                answer = await self.asked(f"sid={value}", site)
                self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))

    async def test_otherScheme(self):
        """
        An id of plain HTTP is none over TLS, and the other way round.
        """
        for secure in (False, True):
            browser = self.client(secure=secure)
            await self.fetch(browser, "/in")
            name, _, uid = browser.sent()[0].decode().partition("=")
            wrong = "__Host-sid" if name == "sid" else "sid"
            self.refused()
            for site in (self.site, self.there):
                client = self.client(site, secure=not secure)
                header = (f"Cookie: {wrong}={uid}; {name}={uid}",)
                answer = await self.fetch(
                    client, "/look", headers=header, cookies=False
                )
                self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))
            self.assertEqual(self.refused(), ["scheme"])

    async def test_otherSite(self):
        """
        An id of one site is none of another on the same store, nor under another name
        of the cookie, also when its site is no more; and its record stays as it is.
        """
        ann, uid = await self.signedIn()
        held = self.place.held()
        sites = [self.site, self.there]
        for _ in range(2):
            others = {
                "sid": self.serve(siteName=b"other"),
                "id": self.serve(cookies=CookiePolicy(insecureName="id")),
            }
            for name, site in others.items():
                answer = await self.asked(f"{name}={uid}", site)
                self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))
            self.assertEqual(self.place.held(), held)
            for site in (*sites, *others.values()):
                await self.stop(site)
            sites = []
        back = self.serve()
        self.assertEqual(await self.body(self.client(back, like=ann)), b"ann 1 1")

    async def test_chance(self):
        """
        Where chance repeats itself the id is drawn anew, and who has it is not
        disturbed; where there is none, the answer is 503 and nothing is made.
        """
        ann, uid = await self.signedIn()
        draw, taken = self.there._entropy, []

        def repeats(size):
            return taken.pop() if size == 32 and taken else draw(size)

        self.there._entropy = repeats
        bob = self.client(self.there)
        for path in ("/count", "/in?who=bob"):
            taken += [bytes.fromhex(uid)] * 2
            await self.body(bob, path)
            self.assertEqual(taken, [])
        self.assertEqual(await self.who(ann, bob), ["ann", "bob"])
        held = self.place.held()

        def broken(size):
            raise OSError("no entropy")

        self.there._entropy = broken
        for path in ("/count", "/in"):
            answer = await self.fetch(self.client(self.there), path)
            self.assertEqual((answer.code, answer.cookies), (503, {}))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)
        self.assertEqual(self.place.held(), held)
        self.assertEqual(await self.who(ann, bob), ["ann", "bob"])


inEveryStore(IdTests, globals())
del IdTests
