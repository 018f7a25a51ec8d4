"""
Whatever a page does with its session in one request, in whatever order: the answer says
one thing of the cookie, who was signed in last is so in the browser, and the id that the
request came with is dead if it was to be.
"""

from __future__ import annotations

import random
from itertools import cycle, product

from tests.asvs.test_v7_2_4 import KeepingSite
from tests.web.signing import SignInCase

ANN = "ann"


def signsIn(who, **how):
    """
    Sign somebody in.

    @return: What does so; it returns who is signed in then.
    """

    def act(request, _):
        request.getSession().login(request, who, **how)
        return who

    return act


def counts(request, who):
    """
    Change the session.
    """
    request.getSession()["more"] = 1
    return who


def rotates(request, who):
    """
    Get a new id.
    """
    request.getSession().rotate(request)
    return who


def endsOthers(request, who):
    """
    End the other sessions, where somebody is signed in.
    """
    if who is not None:
        request.getSession().endOthers(request)
    return who


def signsOut(request, _):
    """
    Sign out.
    """
    request.getSession().logout(request)


def insecure(request, who):
    """
    Use the other session too, that of plain HTTP.
    """
    request.getSession(forceNotSecure=True)["more"] = 1
    return who


HARMLESS = frozenset({counts, insecure})
ACTS = (
    counts,
    insecure,
    rotates,
    endsOthers,
    signsOut,
    signsIn(ANN),
    signsIn(ANN, level=2),
    signsIn("bob"),
    signsIn("bob", keep=True),
    signsIn(ANN, keep=False),
)
BEFORE = ((), ("/count",), ("/in",))


class SequenceTests(SignInCase):
    """
    One request after another, each of which does several things.
    """

    def meet(self, acts, before):
        """
        Do this to the session of a browser that has been to some pages.
        """
        browser = self.client(secure=True)
        for path in before:
            browser.fetch(path)
        thief = self.client(secure=True)
        thief.jar.cookies.update(browser.jar.cookies)
        who = [ANN if "/in" in before else None]

        def page(request):
            for act in acts:
                who.append(act(request, who[-1]))
                self.assertEqual(request.getSession().principal, who[-1])
            return b"done"

        self.page(page)
        answer = browser.fetch("/page")
        self.assertEqual(answer.code, 200)
        lines = answer.all("set-cookie")
        self.assertEqual(len(lines), len(answer.cookies))
        said = browser.fetch("/look").body.split()[0].decode("ascii")
        self.assertEqual(said, who[-1] or "nobody")
        ends = set(acts) - HARMLESS
        if before == ("/count",):
            ends.discard(endsOthers)
        if ends:
            self.assertEqual(thief.fetch("/look").body, b"nobody 0 0")
        for client in (browser, thief):
            client.leave()

    def test_pairs(self):
        """
        Every two.
        """
        for acts, before in zip(product(ACTS, ACTS), cycle(BEFORE), strict=False):
            self.meet(acts, before)

    def test_more(self):
        """
        Up to six, by chance.
        """
        chance = random.Random(6265)
        for _ in range(60):
            acts = chance.choices(ACTS, k=chance.randint(3, 6))
            self.meet(acts, chance.choice(BEFORE))


class WithoutAStoreTests(SequenceTests):
    """
    The same in a site whose sessions live in its process.
    """

    def begin(self):
        """
        Serve without a store.
        """
        self.serve(self.root, store=None)


class FaultTests(SequenceTests):
    """
    The same in a site that keeps the id when somebody signs in: it is found.
    """

    def begin(self):
        """
        Serve wrongly.
        """
        self.serve(self.root, KeepingSite)

    def test_pairs(self):
        """
        By a pair.
        """
        self.assertRaises(self.failureException, super().test_pairs)

    def test_more(self):
        """
        By chance.
        """
        self.assertRaises(self.failureException, super().test_more)
