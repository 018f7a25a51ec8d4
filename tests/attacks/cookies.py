"""
Cookies as they are set, and cookies as no browser sends them.
"""

from __future__ import annotations

from urllib.parse import quote

from tests.attacks.scene import allHeld

AROUND = [
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x85",
    b"\xa0",
    "\u2000".encode(),
    "\ufeff".encode(),
    "\u00ad".encode(),
    "\u00a0".encode(),
]
"""What is a blank to somebody, but not in a cookie."""

MANY = 2500
"""How many cookies come at once."""


def _visit(scene):
    """
    A visit with all that sets cookies: looking, signing in, forms, signing out.

    @return: The answers.
    """
    target = scene.target
    victim = scene.browser()
    for page in target.pages:
        victim.get(page)
    victim.signIn()
    for page in target.pages:
        victim.get(page)
    for form in target.forms:
        victim.post(form.action, form.filled("x"), target.home)
    if victim.who() is None:
        victim.signIn()
    victim.signOut()
    dead = scene.browser("5a" * 32)
    dead.get(target.home)
    dead.signOut()
    return victim.answers + dead.answers


def _cookieFaults(scene, cookie):
    """
    What is wrong with a cookie.
    """
    said, secure = cookie.attributes, scene.place.secure
    if "httponly" not in said:
        return "no HttpOnly: scripts can read it"
    if said.get("samesite", "").lower() not in {"lax", "strict"}:
        return "no SameSite: other sites' forms have it"
    if "domain" in said:
        return f"Domain={said['domain']}: other hosts get it"
    if secure and "secure" not in said:
        return "no Secure: it is sent in the clear"
    if secure and not cookie.name.startswith("__Host-"):
        return "no __Host-: neighbours can plant it"
    if said.get("path") != "/":
        return "no Path=/"
    if not secure and cookie.name.startswith("__"):
        return "a prefix that browsers do not take over plain HTTP"
    return None


def attributes(scene):
    """
    Every Set-Cookie of a whole visit: HttpOnly, SameSite, no Domain, Path=/, and over
    TLS Secure and the prefix __Host-.
    """

    def tries():
        for answer in _visit(scene):
            for cookie in answer.cookies:
                yield cookie.name, _cookieFaults(scene, cookie)

    return f"{allHeld(tries())} cookies, each as it should be"


def onceInAnAnswer(scene):
    """
    Every answer of a whole visit: whether it sets a cookie twice, which browsers take in
    any order, or sets one that a cache may keep for others.
    """

    def tries():
        for answer in _visit(scene):
            names = [cookie.name for cookie in answer.cookies]
            how = None
            if len(set(names)) < len(names):
                how = f"it sets {names[0]} twice"
            kept = answer.first("Cache-Control").lower()
            if names and "no-store" not in kept and "private" not in kept:
                how = "a cache may keep its cookie for others"
            yield f"an answer of {answer.status}", how

    return f"{allHeld(tries())} answers, each as it should be"


def otherNames(scene):
    """
    A good id under a name that is almost that of the cookie: in other case, with blanks
    of all alphabets around it, encoded, or cut by a NUL.
    """
    uid = scene.signedIn().uid
    name = scene.cookie.encode()
    names = {
        name.upper(),
        name.title(),
        name[:-1] + name[-1:].upper(),
        quote(scene.cookie, safe="").replace("-", "%2D").encode(),
        b"%73id" if name == b"sid" else name.replace(b"s", b"%73"),
        b'"%s"' % name,
        name + b"\x00",
        name[:1] + b"\x00" + name[1:],
        name + b"[]",
        name + b".",
        b"$" + name,
        *(blank + name for blank in AROUND),
        *(name + blank for blank in AROUND),
    } - {name}
    return _lookAt(scene, [b"%s=%s" % (each, uid.encode()) for each in sorted(names)])


def otherValues(scene):
    """
    A good id that is almost the value of the cookie: quoted, encoded, in other case,
    with bytes around it, without a name before it, behind a comma, in a list.
    """
    uid = scene.signedIn().uid.encode()
    name = scene.cookie.encode()
    pair = b"%s=%s" % (name, uid)
    encoded = b"".join(b"%%%02x" % each for each in uid[:4]) + uid[4:]
    return _lookAt(
        scene,
        [
            b'%s="%s"' % (name, uid),
            b'$Version=1; %s="%s"; $Path=/' % (name, uid),
            b"%s=%s" % (name, encoded),
            b"%s=%s%%00" % (name, uid),
            b"%s=+%s" % (name, uid),
            b"%s=%s" % (name, uid.upper()),
            b"%s='%s'" % (name, uid),
            b"=" + pair,
            b"a=1, " + pair,
            pair + b",b=2",
            b"%s: %s" % (name, uid),
            b"%s==%s" % (name, uid),
            b"%s[0]=%s" % (name, uid),
            *(b"%s=%s%s" % (name, blank, uid) for blank in AROUND),
            *(b"%s=%s%s" % (name, uid, blank) for blank in AROUND),
            *(b"%s=%s%c" % (name, uid, each) for each in b"\x00\x01\x1f\x7f"),
            *(b"%s=%c%s" % (name, each, uid) for each in b"\x00\x01\x1f\x7f\xff"),
        ],
    )


def _lookAt(scene, headers):
    """
    See that none of many C{Cookie} headers is anybody's.
    """

    def tries():
        for header in headers:
            who = scene.whoIs(header)
            yield repr(header)[:40], None if who is None else f"it is {who}"

    return f"{allHeld(tries())} headers, each of which is nobody's"


def strange(scene):
    """
    What is hardly a cookie: nothing, blanks, thousands of them, thousands of signs,
    kilobytes, other alphabets, lines that go on. Whether the server errs, and whether
    it then still knows the victim.
    """
    victim = scene.signedIn()
    name = scene.cookie
    headers = [
        "",
        " ",
        "; ; ;",
        ";" * 8000,
        "=" * 8000,
        name,
        f"{name}=",
        f"{name}={'x' * 15000}",
        "; ".join(f"c{number}=1" for number in range(MANY))[:15000],
        "; ".join([f"{name}={'0' * 64}"] * 200),
        "\t" * 8000,
        "a=1" + "\r\n " * 2000,
        f'{name}="' + '\\"' * 4000,
        f"{name}=\u0416\u4e2d\U0001f600",
        b"%s=\xff\xfe\xc0\xaf" % name.encode(),
        "a=\x00",
        "a=1\r\nCookie: b=2",
        "__proto__=1; constructor=2",
    ]

    def tries():
        for page in (scene.target.home, scene.target.login):
            for header in headers:
                answer = scene.place.ask(page, headers=[("Cookie", header)])
                how = f"status {answer.status}" if answer.status >= 500 else None
                yield repr(header)[:40], how

    count = allHeld(tries())
    who = victim.who()
    return f"{count} headers, none of which was too much, and {who} is still in"
