"""
Where an attack takes place: the site, its victim with a browser, and the attacker.

Owns browsers, which keep cookies and fill in forms as real ones do, and what an
attack can come to.  Knows a site by its description only.
"""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode

from attrs import define, frozen

from tests.attacks.client import FORM, Place, Unusable
from tests.attacks.target import Target


class Broken(Exception):
    """
    The attack has succeeded.  Its text says how.
    """


class NotTried(Exception):
    """
    The site has nothing that could be attacked in this way.  The text says what.
    """


def expect(held, happened):
    """
    Go on if the site held.

    @raise Broken: It did not.
    """
    if not held:
        raise Broken(happened)


def allHeld(tries):
    """
    Look at many tries of one kind.

    @param tries: Of each what it was, and how it broke the site or L{None}.
    @return: How many there were.
    @raise Broken: Some have succeeded.
    """
    tries = list(tries)
    broken = [(what, how) for what, how in tries if how is not None]
    if broken:
        what, how = broken[0]
        raise Broken(f"{len(broken)} of {len(tries)}, such as {what}: {how}")
    return len(tries)


def hiddenFields(text):
    """
    Find the hidden fields of a page's forms.
    """
    found = {}
    for tag in re.findall(r"<input\b[^>]*>", text):
        said = dict(re.findall(r"""([\w-]+)=["']([^"']*)["']""", tag))
        if said.get("type") == "hidden" and "name" in said:
            found[said["name"]] = html.unescape(said.get("value", ""))
    return found


class Browser:
    """
    A browser as far as it matters here.

    @ivar jar: Its cookies.
    @ivar answers: All that it was answered.
    @ivar agent: What it says that it is, if anything.
    """

    agent = None

    def __init__(self, scene, jar=()):
        """
        @param jar: The cookies that it has.
        """
        self._scene = scene
        self.jar = dict(jar)
        self.answers = []

    @property
    def uid(self):
        """
        The id of its session, or L{None}.
        """
        return self.jar.get(self._scene.cookie)

    def ask(self, path, method="GET", headers=(), body=None):
        """
        Send a request with the cookies, and keep those that come back.
        """
        sent = list(headers)
        if self.agent is not None:
            sent.append(("User-Agent", self.agent))
        if self.jar:
            pairs = "; ".join(f"{name}={value}" for name, value in self.jar.items())
            sent.append(("Cookie", pairs))
        answer = self._scene.place.ask(path, method, sent, body)
        self.answers.append(answer)
        for cookie in answer.cookies:
            if cookie.deletes:
                self.jar.pop(cookie.name, None)
            else:
                self.jar[cookie.name] = cookie.value
        return answer

    def get(self, path):
        """
        Look at a page.
        """
        return self.ask(path)

    def follow(self, answer):
        """
        Go where an answer leads to, within the site.
        """
        where = answer.first("Location")
        if answer.status in {302, 303, 307} and re.match(r"/(?![/\\])|\./", where):
            return self.get("/" + where.lstrip("./"))
        return answer

    def post(self, action, fields, page=None, **more):
        """
        Send a form, as the page on which it is shown would.

        @param page: Where the token is found, or L{None} to send none.
        @param more: C{origin} and C{site}, what the browser says of whence it comes.
        """
        if page is not None:
            fields = {**self.hidden(page), **fields}
        headers = [
            FORM,
            ("Origin", more.get("origin", self._scene.place.origin)),
            ("Sec-Fetch-Site", more.get("site", "same-origin")),
        ]
        headers = [(name, value) for name, value in headers if value is not None]
        return self.ask(action, "POST", headers, urlencode(fields))

    def hidden(self, page):
        """
        The hidden fields on a page: the token, if nothing else.
        """
        return hiddenFields(self.get(page).body)

    def token(self, page=None):
        """
        Read a token off a page, that with the form to sign in unless another is named.

        @return: It, or C{"none"} where no page has one.
        """
        target = self._scene.target
        return self.hidden(page or target.login).get(target.token, "none")

    def trySignIn(self, name, password=None, **fields):
        """
        Fill in the form to sign in.
        """
        target = self._scene.target
        said = self._scene.credentials(name, password)
        return self.post(target.signIn, {**said, **fields}, target.login)

    def signIn(self, name=None):
        """
        Sign in for certain.

        @raise Unusable: The right password does not do.
        """
        name = name or self._scene.victim
        answer = self.trySignIn(name)
        if self.who() != name:
            raise Unusable(
                f"{name} cannot sign in: {self._scene.target.signIn} answered "
                f"{answer.status}, and {self._scene.target.home} takes the visitor "
                f"for {self.who()}"
            )
        return self

    def signOut(self):
        """
        Sign out by the form on the home page.
        """
        target = self._scene.target
        return self.post(target.signOut, {}, target.home)

    def who(self):
        """
        Whom the home page takes this browser for.
        """
        return self._scene.target.whoIn(self.get(self._scene.target.home).body)


@define
class Scene:
    """
    One site, by one of its addresses.

    @ivar target: Its description.
    @ivar place: Where it listens.
    @ivar other: Where it listens for the other scheme, or L{None}.
    @ivar log: The file that it logs to, or L{None}.
    """

    target: Target
    place: Place
    other: Place | None = None
    log: str | None = None

    @property
    def victim(self):
        """
        The name of who is attacked.
        """
        return next(iter(self.target.people))

    @property
    def attacker(self):
        """
        The name of another one, who attacks.
        """
        return list(self.target.people)[1]

    @property
    def cookie(self):
        """
        What the session's cookie is called here.
        """
        return self.target.cookieName(self.place.secure)

    def across(self):
        """
        The same site by its other scheme.

        @raise NotTried: It has none.
        """
        if self.other is None:
            raise NotTried("an address of either scheme is needed")
        return Scene(self.target, self.other, self.place, self.log)

    def browser(self, uid=None, jar=()):
        """
        Start a browser, perhaps with an id of a session, perhaps with other cookies.
        """
        return Browser(self, {self.cookie: uid} if uid else jar)

    def signedIn(self, name=None):
        """
        Start a browser and sign in.
        """
        return self.browser().signIn(name)

    def whoIs(self, *cookies, headers=()):
        """
        Whom the home page takes a request for.

        @param cookies: One C{Cookie} header each.
        """
        sent = [*headers, *(("Cookie", each) for each in cookies)]
        return self.target.whoIn(self.place.ask(self.target.home, headers=sent).body)

    def whoHas(self, uid):
        """
        Whom the home page takes somebody for who presents an id.
        """
        return self.whoIs(f"{self.cookie}={uid}")

    def credentials(self, name, password=None):
        """
        What is filled in to sign in.
        """
        said = {self.target.user: name}
        if self.target.password:
            right = self.target.people.get(name, "wrong")
            said[self.target.password] = right if password is None else password
        return said


@frozen
class Attack:
    """
    One row of the table.

    @ivar run: Takes a L{Scene} and returns what happened if the site held.
    @ivar once: Whether it has to do with no scheme, and is tried by the last address
        only.
    """

    run: object
    once: bool = False

    @property
    def name(self):
        """
        What it is called: the file, and what it does.
        """
        words = re.sub(r"(?=[A-Z])", " ", self.run.__name__).lower()
        return f"{self.run.__module__.rpartition('.')[2]}: {words}"

    @property
    def tried(self):
        """
        What is tried, in a sentence or two.
        """
        return " ".join(self.run.__doc__.split())
