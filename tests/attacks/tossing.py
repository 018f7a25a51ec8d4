"""
More than one cookie of the session's name, as a neighbouring host or the network can
plant them.
"""

from __future__ import annotations

from itertools import permutations

from tests.attacks.scene import NotTried, allHeld, expect

GARBAGE = ["0" * 64, "f" * 64, "x", ""]
"""Values that are no session's."""


def _pairs(scene):
    """
    Two cookies of one name, of which at least one is good, in both orders.
    """
    victim, attacker = scene.signedIn().uid, scene.signedIn(scene.attacker).uid
    for other in [attacker, *GARBAGE]:
        yield from permutations((victim, other))


def _lookAt(scene, headers):
    """
    See that cookies that contradict one another are nobody's.
    """

    def tries():
        for first, second in _pairs(scene):
            sent = headers(f"{scene.cookie}={first}", f"{scene.cookie}={second}")
            who = scene.whoIs(*sent)
            yield f"{len(sent)} Cookie headers", None if who is None else f"it is {who}"

    return f"{allHeld(tries())} pairs, each of which is nobody"


def oneHeader(scene):
    """
    Two cookies of the session's name with different values in one header, in both
    orders: victim and attacker, victim and garbage.
    """
    return _lookAt(scene, lambda one, two: (f"{one}; {two}",))


def twoHeaders(scene):
    """
    The same in two Cookie headers.
    """
    return _lookAt(scene, lambda one, two: (one, two))


def amongOthers(scene):
    """
    The same with other cookies before, between and behind them.
    """
    return _lookAt(scene, lambda one, two: (f"a=1; {one}; b=2", f"c=3; {two}; d=4"))


def otherName(scene):
    """
    The name for plain HTTP beside the one for TLS, and alone, on each of which the
    other counts for nothing.
    """
    plain, secure = scene.target.cookies
    if plain == secure:
        raise NotTried("both cookies have one name")
    wrong = plain if scene.place.secure else secure
    victim, attacker = scene.signedIn().uid, scene.signedIn(scene.attacker).uid
    right = f"{scene.cookie}={victim}"
    for planted in (attacker, *GARBAGE):
        for sent in permutations((right, f"{wrong}={planted}")):
            who = scene.whoIs("; ".join(sent))
            expect(
                who == scene.victim,
                f"{wrong} beside {scene.cookie}: the visitor is {who}",
            )
    who = scene.whoIs(f"{wrong}={victim}")
    expect(who is None, f"{wrong} alone: the visitor is {who}")
    return f"{wrong} is not looked at"


def signInBetween(scene):
    """
    The attacker's cookie lies beside the victim's own, or alone, while the victim signs
    in and leaves something.
    """
    attacker = scene.browser()
    attacker.get(scene.target.login)
    planted = attacker.uid or "5a" * 32
    victim = scene.browser()
    victim.get(scene.target.login)
    token = victim.token()
    own = f"{scene.cookie}={victim.uid or '5b' * 32}"
    toss = f"{scene.cookie}={planted}"
    for sent in (f"{own}; {toss}", f"{toss}; {own}"):
        bare = scene.browser()
        fields = {**scene.credentials(scene.victim), scene.target.token: token}
        bare.jar = {"a": f"1; {sent}"}
        bare.post(scene.target.signIn, fields)
        for uid in (planted, victim.uid):
            who = scene.whoHas(uid) if uid else None
            expect(who is None, f"the planted id is that of {who}")
    return "no id from before is anybody's"
