"""
Passwords, names and ids that are tried out one after the other.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

from tests.attacks.fixation import READERS
from tests.attacks.scene import NotTried, allHeld, expect

GUESSES = 60
"""How many passwords are tried for one name."""

TOO_MANY = 429
"""The status that says so."""


def ids(scene):
    """
    Ids that might be some: made up, all zeroes, and a good one that is cut, longer,
    shortened, in capitals, in other digits, or beside what databases understand.
    """
    uid = scene.signedIn().uid
    wide = "".join(chr(0xFEE0 + ord(each)) for each in uid)
    near = [
        uid[:-1],
        uid + "0",
        uid[:32],
        uid[::-1],
        uid.upper(),
        wide,
        uid[:-1] + "%",
        "%" + uid[1:],
        uid[:-1] + "_",
        uid[:-1] + "?",
        uid[:-1] + "*",
        uid + "' OR 1=1--",
        "' OR ''='",
        "../" + uid,
        f"0x{uid}",
        "0" * 64,
        "f" * 64,
        *(secrets.token_hex(32) for _ in range(40)),
    ]

    def tries():
        for each in near:
            browser = scene.browser(each)
            who = browser.who()
            how = None if who is None else f"it is {who}"
            if any(each == c.value for a in browser.answers for c in a.cookies):
                how = "the server took it over"
            yield f"{each[:12]!r}...", how

    return f"{allHeld(tries())} ids, each of which is nobody"


def names(scene):
    """
    A wrong password of somebody who is known, and of somebody who is not: whether the
    answers differ.
    """
    if scene.target.password is None:
        raise NotTried("nobody is asked for a password")
    seen = []
    for name in (scene.attacker, "n" * len(scene.attacker)):
        visitor = scene.browser()
        answer = visitor.trySignIn(name, "wrong")
        text = answer.body.replace(name, "NAME")
        for value in visitor.hidden(scene.target.login).values():
            text = text.replace(value, "")
        seen.append((answer.status, answer.first("Location"), len(text)))
    expect(seen[0] == seen[1], f"they do: {seen[0]} and {seen[1]}")
    return f"both are answered {seen[0][0]} with the same page"


def passwords(scene):
    """
    Wrong passwords of one name, one after the other and by many connections at once:
    whether the server has enough at some point, and says so by 429.
    """
    if scene.target.password is None:
        raise NotTried("nobody is asked for a password")

    def guess(number):
        return scene.browser().trySignIn(scene.victim, f"wrong-{number}").status

    one = []
    for number in range(GUESSES // 2):
        one.append(guess(number))
        if one[-1] == TOO_MANY:
            break
    expect(one[-1] == TOO_MANY, f"{len(one)} passwords one by one were looked at")
    with ThreadPoolExecutor(READERS) as threads:
        many = list(threads.map(guess, range(GUESSES // 2)))
    looked = len(many) - many.count(TOO_MANY)
    expect(
        looked <= len(many) // 5, f"{looked} of {len(many)} passwords were looked at"
    )
    return (
        f"the {len(one)}. was refused, and then {many.count(TOO_MANY)} of {len(many)}"
    )
