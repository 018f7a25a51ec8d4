"""
Ids and tokens where they can be read: in pages, in headers, in logs.
"""

from __future__ import annotations

import base64
from pathlib import Path

from tests.attacks.client import FORM, Unusable, asBytes
from tests.attacks.scene import NotTried, allHeld, expect

PASSWORD = "wrong-and-not-to-be-written-down"
"""A password that somebody mistypes."""


def _forms(uid):
    """
    How an id may be written.
    """
    yield asBytes(uid)
    yield asBytes(uid).upper()
    yield base64.b64encode(asBytes(uid)).rstrip(b"=")
    try:
        raw = bytes.fromhex(uid)
    except ValueError:
        return
    yield raw
    yield base64.b64encode(raw).rstrip(b"=")
    yield base64.urlsafe_b64encode(raw).rstrip(b"=")


def _reads(uid, data):
    """
    Whether an id can be read in some bytes.
    """
    return any(form in data for form in _forms(uid))


def _outside(answer):
    """
    What is in an answer beside the cookies that it sets.
    """
    headers = [f"{n}: {v}" for n, v in answer.headers if n != "set-cookie"]
    return asBytes("\n".join(headers)) + answer.raw.partition(b"\r\n\r\n")[2]


def idInAnswers(scene):
    """
    Every page and form, good ones, refused ones and such that are not there, before and
    after a sign-in: whether an id is in the page or in a header other than Set-Cookie.
    """
    target = scene.target
    victim = scene.browser()
    victim.get(target.login)
    ids = {victim.uid}
    victim.signIn()
    ids.add(victim.uid)
    for page in [*target.pages, "/nowhere", f"{target.home}?a=%00", f"{target.home}?"]:
        victim.get(page)
    for form in target.forms:
        victim.post(form.action, form.filled("x"), target.home)
        victim.post(form.action, {})
        ids.add(victim.uid)
    for method in ("PUT", "BREW", "OPTIONS"):
        victim.ask(target.home, method, [FORM], "a=1")
    victim.trySignIn(scene.victim, PASSWORD)
    ids.add(victim.uid)
    victim.signOut()

    def tries():
        for answer in victim.answers:
            text = _outside(answer)
            found = any(_reads(uid, text) for uid in ids if uid)
            yield f"an answer of {answer.status}", "an id is in it" if found else None

    return f"{allHeld(tries())} answers, in none of which is one"


def tokens(scene):
    """
    Tokens are read twice, decoded, compared with one another and with the id, and
    presented as one.
    """
    victim = scene.signedIn()
    first, second = (victim.token(scene.target.home) for _ in range(2))
    expect(first != second, "two readings of a token are the same, as BREACH needs it")
    data = [asBytes(first)]
    for decode in (base64.urlsafe_b64decode, base64.b64decode, bytes.fromhex):
        try:
            padded = (
                first if decode is bytes.fromhex else first + "=" * (-len(first) % 4)
            )
            data.append(decode(padded))
        except ValueError:
            continue
    expect(not any(_reads(victim.uid, each) for each in data), "the id is in a token")
    who = scene.whoHas(first)
    expect(who is None, f"the token, as a cookie, is that of {who}")
    return "they differ, have no id in them, and are none"


def tracebacks(scene):
    """
    What servers stumble over: whether an answer shows the inside of the program, or is
    an error of the server.
    """
    target = scene.target
    ask = scene.place.ask
    multipart = ("Content-Type", "multipart/form-data")
    answers = {
        "a broken escape": ask(f"{target.login}?{target.back}=%ff%c0%ae%"),
        "no UTF-8": ask(target.signIn, "POST", [FORM], b"\xff=\xfe&\x00"),
        "parts without a boundary": ask(target.signIn, "POST", [multipart], b"x"),
        "a boundary alone": ask(
            target.signIn, "POST", [(multipart[0], multipart[1] + "; boundary=")], b"--"
        ),
        "a thousand fields": ask(target.signIn, "POST", [FORM], "a=1&" * 1000),
        "fields twice": ask(
            target.signIn, "POST", [FORM], f"{target.user}=a&{target.user}=b"
        ),
        "a large name": ask(
            target.signIn, "POST", [FORM], f"{target.user}=" + "x" * 200_000
        ),
        "an odd method": ask(target.home, "BREW"),
        "no Host": ask(target.home, headers=[("Host", "")]),
        "an odd Host": ask(target.home, headers=[("Host", "a b\\c<d>")]),
        "two Origins": ask(
            target.signIn, "POST", [FORM, ("Origin", "a"), ("Origin", "b")], "x=1"
        ),
    }
    victim = scene.browser()
    token = victim.token()
    for name in ("a\x00b", "x" * 100_000, "\ud800".encode("utf-8", "surrogatepass")):
        said = {target.user: name, target.password or "p": name, target.token: token}
        answers[f"the name {name[:3]!r}"] = victim.post(target.signIn, said)

    def tries():
        for what, answer in answers.items():
            how = None
            if answer.status == 500:
                how = "it answers 500"
            elif "Traceback" in answer.body or 'File "' in answer.body:
                how = "it shows a traceback"
            yield what, how

    return f"{allHeld(tries())} requests, none of which shows anything"


def log(scene):
    """
    What the server writes while people sign in and out, mistype their password, and are
    refused, is searched for ids, tokens and passwords.
    """
    if scene.log is None:
        raise NotTried("it takes --log FILE, what the server writes")
    # What others have written into an address is not the server's to keep secret.
    before = Path(scene.log).stat().st_size
    victim = scene.browser()
    victim.get(scene.target.login)
    secrets = {"an id": victim.uid}
    victim.signIn()
    secrets["the id of who is signed in"] = victim.uid
    secrets["a token"] = victim.token(scene.target.home)
    victim.get("/nowhere")
    for toss in ("0" * 64, "x"):
        cookie = f"{scene.cookie}={victim.uid}"
        scene.whoIs(f"{cookie}; {scene.cookie}={toss}")
    victim.post(scene.target.signOut, {})
    if scene.target.password:
        victim.trySignIn(scene.victim, PASSWORD)
        secrets["a wrong password"] = PASSWORD
        secrets["the right password"] = scene.target.people[scene.victim]
    victim.signOut()
    written = Path(scene.log).read_bytes()[before:]
    if not written:
        raise Unusable(f"nothing was written to {scene.log}: it is not the log")
    for what, secret in secrets.items():
        if secret and secret != "none":
            expect(not _reads(secret, written), f"{what} is in it")
    return f"{len(secrets)} secrets, none of which is in its {len(written)} bytes"
