"""
Addresses to go back to after a sign-in, that lead elsewhere.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from tests.attacks.scene import NotTried, allHeld, expect

EVIL = "evil.example"
"""Where the attacker would like the victim to go."""

NASTY = [
    f"https://{EVIL}/",
    f"http://{EVIL}/",
    f"//{EVIL}/",
    f"///{EVIL}/",
    f"////{EVIL}/",
    f"/\\{EVIL}/",
    f"\\\\{EVIL}/",
    f"\\/{EVIL}/",
    f"/\\/{EVIL}/",
    f"https:{EVIL}",
    f"https:/{EVIL}",
    f"https:\\{EVIL}",
    f"HTTPS://{EVIL}",
    f"/\t/{EVIL}/",
    f"/\n/{EVIL}/",
    f"/\r/{EVIL}/",
    f"\t//{EVIL}/",
    f" //{EVIL}/",
    f"\x00//{EVIL}/",
    f"\x0b//{EVIL}/",
    f"ht\ntps://{EVIL}/",
    f"%2f%2f{EVIL}/",
    f"/%2f{EVIL}/",
    f"%5c%5c{EVIL}/",
    f"/%5c{EVIL}",
    f"/%09/{EVIL}",
    f"https%3a%2f%2f{EVIL}",
    f"@{EVIL}/",
    f"//@{EVIL}/",
    f"//HOST@{EVIL}/",
    f"https://HOST@{EVIL}/",
    f"https://HOST.{EVIL}/",
    f"https://{EVIL}#HOST",
    f"https://{EVIL}?HOST",
    f"https://{EVIL}\\HOST",
    f"/..//{EVIL}/",
    f"/.//{EVIL}/",
    f"./\\{EVIL}/",
    f"../..//{EVIL}/",
    f"?//{EVIL}/../../",
    f"/login?next=//{EVIL}/",
    f"//{EVIL}/" + "a" * 4000,
    f"/{'a' * 8000}",
    "javascript:alert(1)//",
    "JaVaScRiPt:alert(1)//",
    "java\nscript:alert(1)//",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    f"ftp://{EVIL}/",
    f"mailto:x@{EVIL}",
    f"\u3000//{EVIL}/",
    f"\u2028//{EVIL}/",
    f"/\uff0f{EVIL}/",
    f"//{EVIL}\uff0f/",
    f"//{EVIL}%00HOST/",
    f"/\r\nLocation: https://{EVIL}/",
    f"/%0d%0aLocation:%20https://{EVIL}/",
    f"/\u560d\u560aLocation: https://{EVIL}/",
]
"""What is tried; C{HOST} stands for the site's own host and port."""


def whereTo(base, where):
    """
    Find out where a browser goes that is told a C{Location}, by the rules of the WHATWG
    as far as they lead to other places than those of RFC 3986.

    @param base: The address of the page.
    @return: An origin, such as C{https://evil.example}, or a scheme that has none, such
        as C{javascript:}.
    """
    where = re.sub(r"[\t\r\n]", "", where.strip("".join(map(chr, range(33)))))
    scheme, _, _ = base.partition(":")
    own = re.match(r"[^/]+//[^/]+", base)[0].lower()
    named = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", where)
    if named:
        if named[1].lower() not in {"http", "https"}:
            return named[0].lower()
        rest = where[named.end() :].replace("\\", "/")
        if named[1].lower() == scheme and not rest.startswith("//"):
            return _nearby(own, scheme, rest)
        return _host(named[1].lower(), rest)
    return _nearby(own, scheme, where.replace("\\", "/"))


def _nearby(own, scheme, where):
    """
    Where an address leads that names no scheme.
    """
    path = re.split(r"[?#]", where)[0]
    return _host(scheme, where) if path.startswith("//") else own


def _host(scheme, rest):
    """
    The origin in an address, from its slashes on, however many they are.
    """
    authority = re.split(r"[/?#]", rest.lstrip("/"))[0]
    return f"{scheme}://{authority.rpartition('@')[2]}".lower()


def _led(scene, answer):
    """
    How an answer leads away from the site, if it does.
    """
    place = scene.place
    base = f"{place.origin}{scene.target.signIn}"
    for name in ("Location", "Content-Location"):
        for where in answer.all(name):
            to = whereTo(base, where)
            if to != place.origin.lower():
                return f"{name} leads to {to}"
    if "refresh" in dict(answer.headers):
        return "it has a Refresh header"
    if len(answer.all("Location")) > 1:
        return "it has two Locations"
    if answer.status >= 500:
        return f"it answers {answer.status}"
    return None


def _addresses(scene):
    """
    What is tried here.

    @raise NotTried: The form has no such field.
    """
    if scene.target.back is None:
        raise NotTried("the form to sign in takes no address to go back to")
    return [each.replace("HOST", scene.place.authority) for each in NASTY]


def afterSignIn(scene):
    """
    A link to the form to sign in has a nasty address to go back to, and the victim
    signs in there.
    """
    target, addresses = scene.target, _addresses(scene)

    def tries():
        for each in addresses:
            victim = scene.browser()
            page = f"{target.login}?{target.back}={quote(each, safe='')}"
            answer = victim.post(
                target.signIn, scene.credentials(scene.victim), page=page
            )
            found = next(filter(None, (_led(scene, a) for a in victim.answers)), None)
            if found is None and answer.status == 200:
                found = _refreshes(answer.body)
            yield repr(each[:60]), found

    return f"{allHeld(tries())} addresses, none of which leads away"


def _refreshes(text):
    """
    How a page leads away by itself, if it does.
    """
    found = re.search(r"""<meta[^>]*refresh[^>]*url=([^"'>]*)""", text, re.IGNORECASE)
    return f"it goes on to {found[1]} by itself" if found else None


def inTheForm(scene):
    """
    The same address is put into the form that is sent, and into its address too.
    """
    target, addresses = scene.target, _addresses(scene)

    def tries():
        victim = scene.browser()
        for each in addresses:
            action = f"{target.signIn}?{target.back}={quote(each, safe='')}"
            said = {**scene.credentials(scene.victim), target.back: each}
            answer = victim.post(action, said, page=target.login)
            yield repr(each[:60]), _led(scene, answer)
            victim.jar.clear()

    return f"{allHeld(tries())} addresses, none of which leads away"


def whoIsInAlready(scene):
    """
    A link with a nasty address is opened by a victim who is signed in, and one who
    signs out by a form with it.
    """
    target, addresses = scene.target, _addresses(scene)
    victim = scene.signedIn()

    def tries():
        for each in addresses:
            encoded = f"{target.back}={quote(each, safe='')}"
            for page in (target.login, target.home):
                answer = victim.get(f"{page}?{encoded}")
                yield f"{page} with {each[:60]!r}", _led(scene, answer)
        for each in addresses[:10]:
            victim.signIn()
            encoded = f"{target.back}={quote(each, safe='')}"
            said = {target.back: each}
            answer = victim.post(f"{target.signOut}?{encoded}", said, page=target.home)
            yield f"signing out with {each[:60]!r}", _led(scene, answer)

    return f"{allHeld(tries())} times nobody is led away"


def otherHost(scene):
    """
    The Host of a request, and what proxies say of it, is the attacker's: whether a
    redirect or a page repeats it, and so a cache or a mail would.
    """
    target = scene.target
    headers = [
        [("Host", EVIL)],
        [("X-Forwarded-Host", EVIL)],
        [("X-Forwarded-Server", EVIL)],
        [("X-Original-URL", f"//{EVIL}/")],
        [("Forwarded", f"host={EVIL}")],
    ]

    def tries():
        for said in headers:
            for page in [*target.pages, target.signOut, "/.."]:
                answer = scene.place.ask(page, headers=said)
                how = "it is repeated" if EVIL.encode() in answer.raw else None
                yield f"{said[0][0]} on {page}", how

    return f"{allHeld(tries())} requests, in none of whose answers it is"


def pathAway(scene):
    """
    The path of a request is another host: //evil.example/.., as servers that redirect
    to a path with a slash behind it repeat it.
    """
    paths = [f"//{EVIL}", f"//{EVIL}/%2e%2e", f"/\\{EVIL}/..", f"//{EVIL}//", "//%09/x"]

    def tries():
        for path in [
            *paths,
            *(f"{p.rstrip('/')}{paths[0]}" for p in scene.target.pages),
        ]:
            yield path, _led(scene, scene.place.ask(path))

    return f"{allHeld(tries())} paths, none of which leads away"


def schemeKept(scene):
    """
    Each redirect of a sign-in and a sign-out is looked at: whether it leaves TLS, or
    the host.
    """
    victim = scene.browser()
    victim.trySignIn(scene.victim)
    victim.signOut()
    led = [how for how in (_led(scene, each) for each in victim.answers) if how]
    expect(not led, next(iter(led), ""))
    where = [each.first("Location") for each in victim.answers]
    expect(
        all(urlsplit(each).hostname in {None, scene.place.host} for each in where),
        "a redirect names another host",
    )
    return "each stays where it is"
