"""
Ids that were seen on an open wire and are presented over TLS, and the other way round.
"""

from __future__ import annotations

from tests.attacks.scene import allHeld, expect

CLAIMS = [
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Protocol", "https"),
    ("X-Forwarded-Ssl", "on"),
    ("X-Forwarded-Scheme", "https"),
    ("X-Url-Scheme", "https"),
    ("Front-End-Https", "on"),
    ("Forwarded", "proto=https;for=192.0.2.1"),
]
"""What a proxy says of a request that came over TLS, said by nobody's proxy."""


def idOfTheOther(scene):
    """
    An id that was given out by the other scheme is presented here, under either name
    and both.
    """
    uid = scene.across().signedIn().uid
    pairs = [f"{name}={uid}" for name in scene.target.cookies]

    def tries():
        for sent in [*pairs, "; ".join(pairs)]:
            who = scene.whoIs(sent)
            what = sent.replace(uid, "...")
            yield what, None if who is None else f"it is {who}"

    return f"{allHeld(tries())} ways, each of which is nobody"


def stillThere(scene):
    """
    After its id was presented by the wrong scheme, the victim's session is as it was.
    """
    there = scene.across()
    victim = there.signedIn()
    for name in scene.target.cookies:
        answer = scene.browser(jar={name: victim.uid})
        answer.signOut()
        for each in answer.answers:
            for cookie in each.cookies:
                expect(cookie.value != victim.uid, "the id was handed out here too")
    who = victim.who()
    expect(who == there.victim, f"the session was ended from here: {who} is in")
    return "it is signed in there as before"


def signInOver(scene):
    """
    An id of the other scheme is planted, the victim signs in here, and it is presented
    by both schemes.
    """
    there = scene.across()
    attacker = there.browser()
    attacker.get(there.target.login)
    planted = attacker.uid or "5a" * 32
    victim = scene.browser(planted).signIn()
    expect(victim.uid != planted, "the id is the same after the sign-in")
    for where in (scene, there):
        for name in where.target.cookies:
            for uid in {planted, victim.uid if where is there else planted}:
                who = where.whoIs(f"{name}={uid}")
                how = where.place.scheme
                expect(who is None, f"over {how} the id is that of {who}")
    return "neither id is anybody's where it should not be"


def claimedScheme(scene):
    """
    A stranger says in headers that the request came over TLS, or plain, through a
    proxy.
    """
    said = "https" if not scene.place.secure else "http"
    wrong = scene.target.cookieName(not scene.place.secure)
    uid = scene.signedIn().uid

    def tries():
        for name, value in CLAIMS:
            claim = (name, value.replace("https", said))
            answer = scene.place.ask(scene.target.login, headers=[claim])
            set_ = {cookie.name for cookie in answer.cookies}
            who = scene.whoIs(f"{wrong}={uid}", headers=[claim])
            how = None
            if wrong in set_ - {scene.cookie}:
                how = f"{wrong} was set"
            elif who is not None:
                how = f"{wrong} is that of {who}"
            yield name, how

    return f"{allHeld(tries())} headers, none of which is believed"
