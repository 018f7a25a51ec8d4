"""
Signing in: a page for it, staying signed in, all devices of an account, a new password.

Run C{python examples/login.py}, open the address that it prints, and sign in, best with
two browsers.  The users are in memory: a new password is forgotten at the end, but who
is signed in stays so.
"""

import hashlib
import hmac
import os
import sys
import time
from html import escape

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet import endpoints, reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.http import SEE_OTHER
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import Data
from zope.interface import implementer

from txsessions import CSRFProtected, SignInLimit, Site
from txsessions.auth import MAX_PASSWORD, SessionGuard
from txsessions.errors import SignInNeeded

USERS = {"ann": "correct-horse", "bob": "battery-staple"}
FRESH = 300  # seconds for which a sign-in is good for a new password

PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css"><header><a class="brand" href="/">Example</a>
<nav><a href="/devices">Devices</a><a href="/password">Password</a></nav>
<form method="post" action="/logout">{token}<span id="signed-in">{user}</span>
<button class="quiet" id="sign-out">Sign out</button></form></header>
<main><h1>{title}</h1>{body}</main>"""
FIELD = '<input type="hidden" name="csrf_token" value="{token}">'

HOME = """<p class="card">You signed in {since}. Stop this program, even with
<kbd>kill -9</kbd>, start it again and reload: you still are.</p>
<p class="card">Sign in with another browser too, and look at
<a href="/devices">your devices</a>.</p>"""

DEVICES = """<form method="post">{token}<ul>{rows}</ul><p class="row">
<button class="bad" id="others" name="end" value="others">Sign out the others</button>
<button class="bad" id="everywhere" name="end" value="everywhere">Sign out everywhere
</button></p></form>"""
DEVICE = """<li class="card row device"><div><strong>{browser}</strong><br><span class="soft">
{address}, signed in {signedIn}, seen {seen}</span></div>{end}</li>"""
HERE = '<span class="here">this one</span>'
END = '<button class="bad" name="end" value="{handle}">Sign out</button>'

PASSWORD = """<form class="card" method="post">{token}<label>New password, of 8
characters or more<input type="password" name="new" id="new" minlength="8" required
autocomplete="new-password"></label><button id="change">Change it</button>
<p class="soft">This signs out all your other devices.</p></form>"""

STYLE = b""":root { color-scheme: light dark; --ground: #f4f3ee; --card: #fff; --ink: #1c2427;
 --edge: #c9c6bb; --soft: #5c6468; --accent: #0f766e; --on: #fff; --bad: #a11d1d }
@media (prefers-color-scheme: dark) { :root { --ground: #101516; --card: #181f21;
 --ink: #e8eeee; --edge: #3b474b; --soft: #9fabaf; --accent: #4fd1bf; --on: #06201d;
 --bad: #ffb4ad } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
 font: 1.0625rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.25rem;
 padding: .75rem max(1rem, 50vw - 20rem); background: var(--card);
 border-bottom: 1px solid var(--edge) }
header nav { display: flex; gap: 1.25rem } a { color: var(--accent) }
header form { display: flex; align-items: center; gap: .75rem; margin: 0 0 0 auto }
@media (max-width: 30rem) { header nav { order: 1; flex-basis: 100% } }
.brand { font-weight: 700; text-decoration: none; color: var(--ink) }
main { max-width: 42rem; margin: 0 auto; padding: 1rem } ul { padding: 0; margin: 0 }
h1 { margin: 1rem 0; font-size: 1.7rem; line-height: 1.2 }
.card { margin: 0 0 1rem; padding: 1rem 1.25rem; border: 1px solid var(--edge);
 border-radius: .75rem; background: var(--card) }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem }
.row > div { flex: 1 1 14rem; overflow-wrap: anywhere }
.here { padding: .1rem .6rem; border-radius: 1rem; background: var(--accent);
 color: var(--on); font-size: .85rem; font-weight: 600; white-space: nowrap }
.soft { color: var(--soft); font-size: .95rem } .card p { margin: .6rem 0 0 }
.said { border-left: 4px solid var(--accent) }
label { display: block; margin-bottom: 1rem; font-weight: 600 }
input { display: block; width: 100%; min-height: 2.9rem; margin-top: .3rem;
 padding: .5rem .75rem; border: 1px solid var(--soft); border-radius: .5rem;
 background: var(--card); color: inherit; font: inherit }
button { min-height: 2.75rem; padding: .5rem 1.1rem; border: 1px solid var(--accent);
 border-radius: .5rem; background: var(--accent); color: var(--on); font: inherit;
 font-weight: 600; cursor: pointer }
.quiet, .bad { border-color: var(--edge); background: none; color: inherit }
.bad { color: var(--bad) }"""

POLICY = (
    b"default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def digest(password, salt):
    """What is kept of a password."""
    return hashlib.scrypt(password, salt=salt, n=2**14, r=8, p=1)


@implementer(ICredentialsChecker, IRealm)
class Accounts:
    """Who there is, and what each one sees."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, users):
        self._kept = {}
        for name, password in users.items():
            self.setPassword(name, password)

    def setPassword(self, name, password):
        """Keep a new password."""
        salt = os.urandom(16)
        self._kept[name.encode()] = salt, digest(password.encode(), salt)

    async def requestAvatarId(self, entered):
        """Tell who that is.  It takes as long for a name that nobody has."""
        salt, kept = self._kept.get(entered.username, (b"none", b""))
        found = await deferToThread(digest, entered.password, salt)
        if not hmac.compare_digest(found, kept):
            raise UnauthorizedLogin
        return entered.username

    def requestAvatar(self, name, mind, *interfaces):
        """Make the pages of one user, whose forms other sites cannot send."""
        root, user = Resource(), name.decode()
        root.putChild(b"", Home(self, user))
        root.putChild(b"devices", Devices(self, user))
        root.putChild(b"password", Password(self, user))
        return IResource, CSRFProtected(root), lambda: None


class Page(Resource):
    """A page of one user."""

    isLeaf = True

    def __init__(self, accounts, user):
        super().__init__()
        self.accounts, self.user = accounts, user

    def render(self, request):
        """Answer when the page is made, unless the browser has left meanwhile."""
        left = []
        request.notifyFinish().addErrback(left.append)
        done = Deferred.fromCoroutine(self.answer(request, request.getSession()))
        done.addCallback(lambda page: left or (request.write(page), request.finish()))
        done.addErrback(lambda why: left or request.processingFailed(why))
        return NOT_DONE_YET

    async def answer(self, request, session):
        """Show the page, or do what its form asks for and lead to the next one."""
        try:
            if request.method != b"POST":
                token = FIELD.format(token=session.csrfToken)
                return self.page(
                    request, await self.show(request, session, token), token
                )
            where, said = await self.change(request, session)
        except SignInNeeded:
            where, said = b"/login?next=" + request.path, None
        if said:
            request.getSession().flash(said)
        request.setResponseCode(SEE_OTHER)
        request.setHeader(b"location", where)
        return b""

    def page(self, request, shown, token):
        """Put a page around what it shows."""
        title, body = shown
        for each in request.getSession().takeFlashes():
            body = f'<p class="card said" role="status">{escape(each.text)}</p>' + body
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(b"content-security-policy", POLICY)
        user = escape(self.user)
        return PAGE.format(title=title, body=body, user=user, token=token).encode()


class Home(Page):
    """The first page."""

    async def show(self, request, session, token):
        """See L{Page.answer}."""
        title, since = f"Hello, {escape(self.user)}", ago(session.authenticatedAt)
        return title, HOME.format(since=since)

    async def change(self, request, session):
        """See L{Page.answer}."""
        return b"/", None


class Devices(Page):
    """Where one is signed in, and what ends that."""

    async def show(self, request, session, token):
        """See L{Page.answer}."""
        own, rows = session.handle, ""
        found = await request.site.sessionsOf(self.user)
        for each in sorted(found, key=lambda e: (e.handle != own, -e.lastSeenAt)):
            rows += DEVICE.format(
                browser=escape(browserOf(each.userAgent or "")),
                address=escape(each.address or ""),
                signedIn=ago(each.signedInAt),
                seen=ago(each.lastSeenAt),
                end=HERE if each.handle == own else END.format(handle=each.handle),
            )
        return "Your devices", DEVICES.format(rows=rows, token=token)

    async def change(self, request, session):
        """See L{Page.answer}."""
        handle = request.args.get(b"end", [b""])[0].decode(errors="replace")
        if handle == "everywhere":
            await request.site.endPrincipal(self.user)
            request.logout()
            return b"/", None
        if handle == "others":
            await session.endOthers(request)
            return b"/devices", "All your other devices are signed out."
        # Whosever handle that may be, it ends nothing but what is this user's.
        await request.site.endSession(self.user, handle)
        return b"/devices", "That device is signed out."


class Password(Page):
    """A new password, for who has signed in just now."""

    async def show(self, request, session, token):
        """See L{Page.answer}."""
        session.requireFresh(FRESH)
        return "A new password", PASSWORD.format(token=token)

    async def change(self, request, session):
        """See L{Page.answer}."""
        session.requireFresh(FRESH)
        entered = request.args.get(b"new", [b""])[0]
        password = entered.decode(errors="replace")
        if len(password) < 8:
            return b"/password", "That password is too short."
        if len(entered) > MAX_PASSWORD:
            return b"/password", f"Of a password {MAX_PASSWORD} bytes can be used."
        await deferToThread(self.accounts.setPassword, self.user, password)
        await session.endOthers(request)
        return b"/", "Your password is changed, and your other devices are signed out."


def ago(then):
    """Say how long ago something was."""
    seconds = max(0, time.time() - then)
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit} ago"
    return "a minute ago" if seconds >= 60 else "just now"


def browserOf(agent):
    """Say in two words what a browser says of itself at length."""
    names = ("Edg", "OPR", "Firefox", "Chrome", "Safari", "curl")
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    browser = next((name for name in names if name in agent), "Unknown browser")
    system = next((f" on {name}" for name in systems if name in agent), "")
    return {"Edg": "Edge", "OPR": "Opera"}.get(browser, browser) + system


def makeSite(users, **how):
    """Make the site."""
    accounts = Accounts(users)
    guard = SessionGuard(Portal(accounts, [accounts]), remember=30 * 86400)
    guard.putChild(b"style.css", Data(STYLE, "text/css; charset=utf-8"))
    site = Site(guard, **how)
    site.keepsClients = True
    site.signInLimit = SignInLimit(most=10, refuses=False)
    return site


def main(*where):
    """Serve on ports of this machine, 0 takes a free one, or by endpoints."""
    site = makeSite(USERS, store="sqlite:sessions.sqlite")
    print("Sign in as", " or as ".join(f"{n} with {p}" for n, p in USERS.items()))
    for each in where or ["8080"]:
        endpoint = f"tcp:{each}:interface=127.0.0.1" if each.isdigit() else each
        scheme = "https" if endpoint.startswith("ssl:") else "http"
        endpoints.serverFromString(reactor, endpoint).listen(site).addCallback(
            lambda it, scheme=scheme: print(
                f"{scheme}://127.0.0.1:{it.getHost().port}/", flush=True
            )
        )
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
