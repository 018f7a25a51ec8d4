"""
Ids that the attacker knows before the victim signs in.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.attacks.client import FORM
from tests.attacks.scene import allHeld, expect

MADE_UP = "5a" * 32
"""An id as servers make them, but made by the attacker."""

READERS = 6
"""How many connections watch a planted id."""

LOOKS = 5
"""How often each of them looks."""


def _signInOver(scene, uid):
    """
    Have the victim sign in with an id in the browser that somebody planted there.
    """
    victim = scene.browser(uid).signIn()
    expect(victim.uid != uid, "the id is the same after the sign-in")
    for when in ("then", "a second time"):
        who = scene.whoHas(uid)
        expect(who is None, f"who presents the planted id {when} is {who}")
    expect(victim.who() == scene.victim, "the victim is signed out again")
    return "the id is another one after the sign-in, and the planted one is nobody's"


def ownId(scene):
    """
    The attacker's own id is put into the victim's browser, who signs in.
    """
    attacker = scene.browser()
    attacker.get(scene.target.login)
    return _signInOver(scene, attacker.uid or MADE_UP)


def signedInId(scene):
    """
    The id of a session in which the attacker is signed in is put into the victim's
    browser, who signs in.
    """
    return _signInOver(scene, scene.signedIn(scene.attacker).uid)


def madeUpId(scene):
    """
    An id that no server made is put into the victim's browser, who looks around and
    then signs in.
    """
    victim = scene.browser(MADE_UP)
    for page in dict.fromkeys([scene.target.home, scene.target.login]):
        victim.get(page)
    for answer in victim.answers:
        for cookie in answer.cookies:
            expect(cookie.value != MADE_UP, "the server took the id over as its own")
    expect(
        victim.uid != MADE_UP,
        f"{scene.target.login} has a form, and the made-up id is the session's",
    )
    return _signInOver(scene, MADE_UP)


def readWhileSigningIn(scene):
    """
    Many connections present the planted id again and again while the victim signs in
    with it.
    """
    attacker = scene.browser()
    attacker.get(scene.target.login)
    planted = attacker.uid or MADE_UP

    def watch(_):
        return [scene.whoHas(planted) for _ in range(LOOKS)]

    with ThreadPoolExecutor(READERS) as threads:
        watching = threads.map(watch, range(READERS))
        victim = scene.browser(planted)
        victim.trySignIn(scene.victim)
        seen = {who for each in watching for who in each}
    seen.add(scene.whoHas(planted))
    expect(seen == {None}, f"the planted id was that of {seen - {None}}")
    return f"{READERS * LOOKS} looks during it, and one after it, found nobody"


def idElsewhere(scene):
    """
    The victim's id, or one to take over, is presented by other means than the cookie:
    in the address, in a form, in headers.
    """
    uid, name = scene.signedIn().uid, scene.cookie
    home, encoded = scene.target.home, f"{name}={uid}"
    ways = {
        "an argument": (f"{home}?{encoded}", "GET", [], None),
        "a part of the path": (f"{home};{encoded}", "GET", [], None),
        "jsessionid": (f"{home};jsessionid={uid}", "GET", [], None),
        "a field": (home, "POST", [FORM], encoded),
        "X-Session": (home, "GET", [("X-Session", uid)], None),
        "Authorization: Session": (
            home,
            "GET",
            [("Authorization", f"Session {uid}")],
            None,
        ),
        "Authorization: Bearer": (
            home,
            "GET",
            [("Authorization", f"Bearer {uid}")],
            None,
        ),
        "Cookie2": (home, "GET", [("Cookie2", encoded)], None),
        "Set-Cookie": (home, "GET", [("Set-Cookie", encoded)], None),
    }

    def tries():
        for what, way in ways.items():
            answer = scene.place.ask(*way)
            who = scene.target.whoIn(answer.body)
            yield what, None if who is None else f"it is {who}"

    return f"{allHeld(tries())} ways, none of which is looked at"
