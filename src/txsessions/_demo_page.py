"""
How the demonstration page looks.

Owns the templates in C{demo_files} and every word on the page.  Knows no request
and no session: what there is to say comes as one L{Visit}.  Everything shown is
escaped by L{twisted.web.template}.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen
from twisted.python.filepath import FilePath
from twisted.web.iweb import IRequest
from twisted.web.template import Element, Tag, XMLFile, renderer, tags

from txsessions.web.csrf import FIELD
from txsessions.web.policy import CookiePolicy

FILES: FilePath[str] = FilePath(__file__).sibling("demo_files")
"""Where the templates, the style sheet and the icon are."""

_SAMPLE_UID = b"0123456789abcdef" * 4
"""Stands in for the uid, which no page ever shows."""

_SPANS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


@frozen(kw_only=True)
class Visit:
    """
    What one showing of the page is about.

    @ivar visits: How often the page was shown in this session.
    @ivar name: The name that the visitor left, or the empty string.
    @ivar user: As whom the visitor is signed in, or the empty string.
    @ivar before: The session's tag before it was signed in.
    @ivar tag: The session's tag.
    @ivar notice: What the last form led to, or the empty string.
    @ivar token: What a form must bring along.
    @ivar isNew: Whether this request made the session.
    @ivar age: Seconds since the session was made.
    @ivar idle: Its idle limit in seconds.
    @ivar lifetime: Its absolute limit in seconds.
    @ivar address: Where it is kept.
    @ivar durability: What an acknowledged write survives there.
    @ivar survives: Whether anything survives the process there.
    @ivar secure: Whether its cookie is the one for TLS.
    @ivar cookies: The policy that its cookie follows.
    """

    visits: int
    name: str
    user: str
    before: str
    tag: str
    notice: str
    token: str = field(repr=False)
    isNew: bool
    age: float
    idle: float
    lifetime: float
    address: str
    durability: str
    survives: bool
    secure: bool
    cookies: CookiePolicy


def spanInWords(seconds: float) -> str:
    """
    Say how long something takes, in its two greatest units.
    """
    rest = max(0, int(seconds))
    words: list[str] = []
    for unit, size in _SPANS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count} {unit}" if count == 1 else f"{count} {unit}s")
        elif words:
            break
        if len(words) == 2:
            break
    return " ".join(words) or "0 seconds"


def cookieReasons(cookies: CookiePolicy, secure: bool) -> Iterator[tuple[str, str]]:
    """
    Tell of each attribute of the session cookie, and of some that it lacks, why.

    @return: What the header says, and the reason.
    """
    name = cookies.nameFor(secure).decode("ascii")
    if name.lower().startswith("__host-"):
        yield (
            name,
            "With this prefix browsers take the cookie from this very host only, and "
            "over TLS only: no neighbour can plant one.",
        )
    elif cookies.secure == "auto":
        yield (
            name,
            "The name for plain HTTP. Over TLS it is "
            f"{cookies.nameFor(True).decode('ascii')}, and another session: what was "
            "seen on an open wire never counts there.",
        )
    else:
        yield name, "Says nothing about you or about this server."
    yield (
        "64 digits",
        "256 random bits, and nothing else. Whoever has them is you, so no page, log "
        "or database shows them; this server keeps a hash.",
    )
    yield f"Path={cookies.path}", "The part of this host that gets the cookie."
    if cookies.domain is not None:
        yield f"Domain={cookies.domain}", "Its subdomains get the cookie as well."
    if cookies.maxAge is not None:
        yield (
            f"Max-Age={cookies.maxAge}",
            "How many seconds the browser keeps it, also when it is closed.",
        )
    if secure:
        yield "Secure", "Never sent in the clear."
    yield "HttpOnly", "No script can read it, so none that slipped in can steal it."
    yield (
        f"SameSite={cookies.sameSite.capitalize()}",
        {
            "lax": "Comes along when you follow a link from another site, but not with "
            "that site's forms, images and frames.",
            "strict": "Comes along from this site's own pages only.",
            "none": "Comes along from all sites, also in their frames.",
        }[cookies.sameSite],
    )
    if cookies.maxAge is None:
        yield (
            "no Max-Age",
            "The browser forgets it when it is closed. The server ends the session by "
            "itself, at the limits above.",
        )
    if not secure:
        yield "no Secure", "This page came over plain HTTP, so it could not be sent."


class DemoPage(Element):
    """
    The page with everything on it.
    """

    loader = XMLFile(FILES.child("page.xml"))

    def __init__(self, visit: Visit) -> None:
        """
        @param visit: What there is to say.
        """
        super().__init__()
        self._visit = visit

    def _token(self) -> Tag:
        """
        Make the hidden field that tells our forms from others'.
        """
        return tags.input(type="hidden", name=FIELD, value=self._visit.token)

    def _greeting(self) -> str:
        """
        Address the visitor by what is known.
        """
        name = self._visit.name or self._visit.user
        return f"Hello, {name}." if name else "Hello, visitor."

    @renderer
    def notice(self, request: IRequest, tag: Tag) -> Tag | str:
        """
        What the last form led to.
        """
        return tag.fillSlots(text=self._visit.notice) if self._visit.notice else ""

    @renderer
    def greeting(self, request: IRequest, tag: Tag) -> Tag:
        """
        The head line.
        """
        return tag(self._greeting())

    @renderer
    def story(self, request: IRequest, tag: Tag) -> Tag:
        """
        What the page is about, as far as it is true of the store.
        """
        visit = self._visit
        if not visit.survives:
            return tag.clear()(
                "The count is in this server's memory, so it ends with the server. "
                "Keep it in a file with ",
                tags.kbd("--session-store sqlite:sessions.sqlite"),
                ", and it goes on.",
            )
        return tag.fillSlots(
            lead=["The count is kept in ", tags.code(visit.address), "."]
        )

    @renderer
    def visits(self, request: IRequest, tag: Tag) -> Tag:
        """
        The count.
        """
        return tag(str(self._visit.visits))

    @renderer
    def visitsWord(self, request: IRequest, tag: Tag) -> Tag:
        """
        What is counted.
        """
        return tag("visit" if self._visit.visits == 1 else "visits")

    @renderer
    def nameForm(self, request: IRequest, tag: Tag) -> Tag:
        """
        The form for the name.
        """
        return tag.fillSlots(token=self._token(), value=self._visit.name)

    @renderer
    def signedOut(self, request: IRequest, tag: Tag) -> Tag | str:
        """
        What a visitor who is not signed in sees.
        """
        return "" if self._visit.user else tag.fillSlots(token=self._token())

    @renderer
    def signedIn(self, request: IRequest, tag: Tag) -> Tag | str:
        """
        What a visitor who is signed in sees.
        """
        visit = self._visit
        if not visit.user:
            return ""
        return tag.fillSlots(token=self._token(), user=visit.user)

    @renderer
    def change(self, request: IRequest, tag: Tag) -> Tag | str:
        """
        The tags before and after signing in.
        """
        visit = self._visit
        if not visit.before or visit.before == visit.tag:
            return ""
        return tag.fillSlots(before=visit.before, after=visit.tag)

    @renderer
    def session(self, request: IRequest, tag: Tag) -> Tag:
        """
        The session's facts.
        """
        visit = self._visit
        used = min(1.0, max(0.0, visit.age / visit.lifetime))
        return tag.fillSlots(
            age=spanInWords(visit.age),
            origin="made by this very request"
            if visit.isNew
            else "found again by your cookie",
            idle=spanInWords(visit.idle),
            left=spanInWords(visit.lifetime - int(visit.age)),
            used=f"{100 * used:.2f}",
            tag=visit.tag,
            address=visit.address,
            durability=f"({visit.durability})" if visit.durability else "",
        )

    @renderer
    def cookie(self, request: IRequest, tag: Tag) -> Tag:
        """
        The header that carries the cookie, with dots for its value.
        """
        visit = self._visit
        header = visit.cookies.render(_SAMPLE_UID, visit.secure).decode("ascii")
        name, rest = header.split("=" + _SAMPLE_UID.decode("ascii"), 1)
        return tag(
            tags.i("Set-Cookie: "),
            tags.b(name),
            "=",
            tags.i("•" * 12, title="64 digits, not shown"),
            rest,
        )

    @renderer
    def reasons(self, request: IRequest, tag: Tag) -> Iterator[Tag]:
        """
        Each attribute with its reason.
        """
        for what, why in cookieReasons(self._visit.cookies, self._visit.secure):
            yield tag.clone().fillSlots(what=what, why=why)


class Message(Element):
    """
    A page with one thing to say, and a way back.
    """

    loader = XMLFile(FILES.child("message.xml"))

    def __init__(self, title: str, text: str, link: str) -> None:
        """
        @param title: The head line.
        @param text: What there is to say.
        @param link: What the way back is called.
        """
        super().__init__()
        self._words = {"title": title, "text": text, "link": link}

    @renderer
    def page(self, request: IRequest, tag: Tag) -> Tag:
        """
        The whole page, whose links lead to the top from however deep.
        """
        depth = len(request.prepath) + len(request.postpath) - 1
        return tag.fillSlots(top="../" * depth, **self._words)


__all__ = ["FILES", "DemoPage", "Message", "Visit", "cookieReasons", "spanInWords"]
