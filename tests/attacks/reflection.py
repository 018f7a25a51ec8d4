"""
What was sent and comes back: in headers, in pages, in pages about errors.
"""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import quote

from tests.attacks.client import FORM
from tests.attacks.scene import allHeld

MARK = "zq7x"
"""Nothing that a page would say by itself."""

SCRIPTS = [
    f"<{MARK}>",
    f'"><script>{MARK}</script>',
    f"'><img src=x onerror={MARK}>",
    f'" onmouseover="{MARK}',
    f"' onmouseover='{MARK}",
    f"</title><{MARK}>",
    f"</textarea><{MARK}>",
    f"<!--<{MARK}>",
    f"javascript:{MARK}",
    f"+ADw-{MARK}+AD4-",
    f"\u2028<{MARK}>",
]
"""What would become a part of a page, if it stood in one as it is."""

LINKS = {"href", "src", "action", "formaction", "data", "xlink:href"}
"""Attributes that lead somewhere."""

BREAKS = ["\r\n", "\n", "\r", "\u560d\u560a", "\u2028", "\x85", "\x0b", "\x00"]
"""What ends a line for somebody."""


def _places(scene, text):
    """
    Send something in all places where one can.

    @return: Pairs of what it was and the answer.
    """
    target, asked = scene.target, quote(text, safe="")
    for page in target.pages:
        yield f"{page}?x=", scene.place.ask(f"{page}?x={asked}&{target.back}={asked}")
    yield "the path", scene.place.ask(f"/{asked}")
    yield "a path below", scene.place.ask(f"{target.login}/{asked}")
    yield (
        "the login",
        scene.place.ask(f"{target.login}?{target.back or 'next'}={asked}"),
    )
    for name in ("Referer", "User-Agent", "X-Forwarded-For", "Cookie"):
        plain = text.replace("\r", "").replace("\n", "")
        value = f"{scene.cookie}={plain}" if name == "Cookie" else plain
        answer = scene.place.ask(target.login, headers=[(name, value)])
        yield name, answer
    strange = scene.browser()
    strange.agent = text.replace("\r", "").replace("\n", "")
    strange.trySignIn(scene.victim)
    for page in target.pages:
        yield f"the browser's name on {page}", strange.get(page)
    said = scene.credentials(text)
    visitor = scene.browser()
    yield "a name to sign in with", visitor.post(target.signIn, said, target.login)
    for answer in visitor.answers:
        yield "a page on the way there", answer
    yield "the page after it", visitor.get(target.home)
    said = {**scene.credentials(scene.victim), target.back or "next": text}
    yield "an address to go back to", visitor.post(target.signIn, said, target.login)
    yield "a form without a token", scene.browser().post(target.signIn, said)
    for form in target.forms:
        if form.filled(text) == form.fields:
            continue
        victim = scene.signedIn()
        fields = {**victim.hidden(target.home), **form.filled(text)}
        yield form.action, victim.post(form.action, fields)
        yield f"the page after {form.action}", victim.get(target.home)
    victim = scene.browser()
    fields = {target.token: text, **scene.credentials(scene.victim)}
    yield "a token", victim.post(target.signIn, fields)
    body = (
        f"--x\r\nContent-Disposition: form-data; name={text!r}\r\n\r\n{text}\r\n--x--"
    )
    kind = ("Content-Type", "multipart/form-data; boundary=x")
    yield "a part", scene.place.ask(target.signIn, "POST", [kind], body)
    yield "a field's name", scene.place.ask(target.signIn, "POST", [FORM], f"{asked}=1")
    yield "a method", scene.place.ask(target.login, quote(text, safe="<>'\"=/"))


def scripts(scene):
    """
    Pieces of pages in every argument, field, header and path: whether they become a tag,
    an attribute or a script of any page.
    """

    def tries():
        for script in SCRIPTS:
            for what, answer in _places(scene, script):
                yield f"{script} as {what}", _does(answer)

    return f"{allHeld(tries())} places, in none of which it is more than text"


class _Reader(HTMLParser):
    """
    Reads a page as browsers do, and looks for what was sent where it does something.

    @ivar found: Where it was.
    """

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found = None
        self._inScript = False

    def handle_starttag(self, tag, attributes):
        """
        See C{HTMLParser.handle_starttag}.
        """
        self._inScript = tag in {"script", "style"}
        if MARK in tag:
            self.found = "it is a tag"
        for name, value in attributes:
            said = (value or "").strip().lower()
            if MARK in name or (MARK in said and name.startswith("on")):
                self.found = f"it is the attribute {name}"
            elif MARK in said and name in LINKS and said.startswith("javascript:"):
                self.found = f"{name} runs it"

    def handle_endtag(self, tag):
        """
        See C{HTMLParser.handle_endtag}.
        """
        self._inScript = False

    def handle_data(self, data):
        """
        See C{HTMLParser.handle_data}.
        """
        if self._inScript and MARK in data:
            self.found = "it is in a script"


def _does(answer):
    """
    What becomes of a piece of a page in an answer, if anything.
    """
    kind = answer.first("Content-Type").lower()
    if kind and "html" not in kind and "xml" not in kind:
        return None
    if f"+ADw-{MARK}" in answer.body and "charset" not in kind:
        return "the page does not say how it is written, and may be read as UTF-7"
    reader = _Reader()
    reader.feed(answer.body)
    reader.close()
    return reader.found


def headers(scene):
    """
    What ends a line, and a header behind it, in every argument, field and path: whether
    it is a header of the answer.
    """

    def tries():
        probes = [f"x{end}X-{MARK}: 1" for end in BREAKS]
        for probe in [*probes, f"/x\r\n\r\n<{MARK}>"]:
            for what, answer in _places(scene, probe):
                names = {name for name, _ in answer.headers}
                head = answer.raw.partition(b"\r\n\r\n")[0]
                how = None
                if f"x-{MARK}" in names:
                    how = f"X-{MARK} is a header of the answer"
                elif answer.status and f"<{MARK}>".encode() in head:
                    how = "it ended the headers"
                yield f"{probe!r} in {what}", how

    return f"{allHeld(tries())} places, in none of which it is a header"


def ownCookie(scene):
    """
    A cookie that was sent with strange attributes behind it comes back as one that is
    set.
    """

    def tries():
        for value in ("x; Domain=evil.example", "5a" * 32 + "; Max-Age=9", "x\x01y"):
            sent = [("Cookie", f"{scene.cookie}={value}")]
            for page in scene.target.pages:
                answer = scene.place.ask(page, headers=sent)
                for cookie in answer.cookies:
                    same = cookie.value and cookie.value in value
                    how = "it was set as it came" if same else None
                    yield f"{value[:9]!r} on {page}", how
                yield page, "status 500" if answer.status >= 500 else None

    return f"{allHeld(tries())} answers, none of which sets it"


def kindOfPage(scene):
    """
    Each page says what kind of text it is, and how it is written, so that no browser
    guesses.
    """

    def tries():
        for page in [*scene.target.pages, "/nowhere-at-all"]:
            answer = scene.place.ask(page)
            if answer.body:
                kind = answer.first("Content-Type").lower()
                good = kind and ("html" not in kind or "charset" in kind)
                yield page, None if good else f"its Content-Type is {kind!r}"

    return f"{allHeld(tries())} pages, each of which says it"


def framed(scene):
    """
    The page with the form to sign in, and the one for who is signed in, in a frame of
    another site, where a click is led to them.
    """
    victim = scene.signedIn()

    def tries():
        for page in (scene.target.login, scene.target.home):
            for browser in (scene.browser(), victim):
                answer = browser.follow(browser.get(page))
                policy = answer.first("Content-Security-Policy")
                good = "frame-ancestors" in policy or answer.first("X-Frame-Options")
                yield page, None if good else "it may be framed by anybody"

    return f"{allHeld(tries())} pages, none of which may be framed"
