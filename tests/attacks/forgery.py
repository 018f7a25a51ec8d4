"""
Requests that another site sends in the victim's name.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode, urlsplit

from tests.attacks.client import FORM
from tests.attacks.scene import allHeld, expect
from tests.attacks.target import Form

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
"""Methods that may change something."""

PROBE = "forged by somebody else"
"""What a forged form leaves where it can."""


def _forms(scene):
    """
    All forms of the site.
    """
    target = scene.target
    yield from target.forms
    if target.devices:
        fields = {target.devices.field: "x" * 16}
        yield Form(action=target.devices.action, fields=fields)
    yield Form(action=target.signOut)
    yield Form(action=target.signIn, fields=scene.credentials(scene.victim))


def _forge(scene, send):
    """
    Send every form, signed in, and see that it does nothing.

    @param send: Takes the victim's browser, a form and its fields.
    """
    victim = scene.signedIn()
    target = scene.target

    def tries():
        for form in _forms(scene):
            answer = send(victim, form, form.filled(PROBE))
            how = None
            if not answer.refused:
                how = f"it answered {answer.status}"
            elif any(not each.deletes for each in answer.cookies):
                how = "it set a cookie"
            yield form.action, how

    count = allHeld(tries())
    seen = victim.get(target.home).body
    expect(target.whoIn(seen) == scene.victim, "the victim was signed out by it")
    expect(PROBE not in seen, "what was forged is on the page")
    return f"{count} forms, each of which was refused"


def noToken(scene):
    """
    Every form without a token, though from a page of the site as far as the browser
    says.
    """
    return _forge(scene, lambda b, form, said: b.post(form.action, said))


def tokenOfAnother(scene):
    """
    Every form with a token of another session: that of a stranger, and of the attacker
    signed in.
    """
    target = scene.target
    tokens = [
        scene.browser().token(),
        scene.signedIn(scene.attacker).token(target.home),
        "0" * 64,
        "",
    ]
    for token in tokens:
        _forge(
            scene, lambda b, f, said: b.post(f.action, {**said, target.token: token})
        )
    return f"{len(tokens)} tokens with every form, each of which was refused"


def tokenFromBefore(scene):
    """
    Every form with a token that the attacker read before the victim signed in, in the
    very session that the victim then signed in with.
    """
    attacker = scene.browser()
    old = attacker.token()
    victim = scene.browser(attacker.uid).signIn()
    field = scene.target.token

    def tries():
        for form in _forms(scene):
            answer = victim.post(form.action, {**form.filled(PROBE), field: old})
            yield form.action, None if answer.refused else f"status {answer.status}"

    count = allHeld(tries())
    expect(victim.who() == scene.victim, "the victim was signed out by it")
    return f"{count} forms, each of which was refused"


def _saidOfOrigin(scene, headers):
    """
    Send every form with the right token, from elsewhere as far as the browser says.
    """
    field = scene.target.token
    for said in headers:
        _forge(
            scene,
            lambda b, f, fields: b.post(
                f.action, {**fields, field: b.token(scene.target.home)}, **said
            ),
        )
    return f"{len(headers)} headers with every form, each of which was refused"


def foreignOrigin(scene):
    """
    Every form with its right token, and an Origin that is not quite the site's.
    """
    place = scene.place
    host = urlsplit(place.origin).hostname
    port = place.port
    origins = [
        f"{place.scheme}://evil.example",
        f"{place.scheme}://{host}.evil.example:{port}",
        f"{place.scheme}://evil{host}:{port}",
        f"{place.scheme}://{host}:{port + 1}",
        f"{place.origin}.evil.example",
        f"{place.scheme}://user@evil.example#{place.authority}",
    ]
    if place.secure:
        # Whoever serves https: on this very host and port is the site itself.
        origins.append(f"http://{place.authority}")
    return _saidOfOrigin(scene, [{"origin": o, "site": None} for o in origins])


def foreignSite(scene):
    """
    Every form with its right token, and a Sec-Fetch-Site of another site or of a
    neighbour.
    """
    own = scene.place.origin
    sites = ("cross-site", "same-site")
    return _saidOfOrigin(scene, [{"origin": own, "site": site} for site in sites])


def tokenInTheAddress(scene):
    """
    Every form with its right token in the address and not in the body, by which a token
    would come into logs and Referer headers.
    """
    field = scene.target.token
    for before in ("?", "?a=1&", "?a=1;"):
        _forge(
            scene,
            lambda b, f, said: b.post(
                f"{f.action}{before}{urlencode({field: b.token(scene.target.home)})}",
                said,
            ),
        )
    return "3 addresses of every form, each of which was refused"


def otherKinds(scene):
    """
    Every form as another kind of body, such as pages of anybody can send without being
    asked: plain text, JSON, parts; with the right token as its text.
    """
    field = scene.target.token
    kinds = ["text/plain", "application/json", "multipart/form-data; boundary=x", ""]

    def send(kind):
        def sendOne(browser, form, said):
            headers = [("Content-Type", kind)] if kind else []
            body = json.dumps({**said, field: browser.token(scene.target.home)})
            return browser.ask(form.action, "POST", headers, body)

        return sendOne

    for kind in kinds:
        _forge(scene, send(kind))
    return f"{len(kinds)} kinds with every form, each of which was refused"


def otherMethods(scene):
    """
    The form to sign out by every unsafe method without a token, and what pretends to be
    one: _method, X-HTTP-Method-Override.
    """
    victim = scene.signedIn()
    action = scene.target.signOut
    for method in UNSAFE:
        victim.ask(action, method, [FORM], "")
        expect(victim.who() == scene.victim, f"{method} signed the victim out")
    for override in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        victim.ask(action, "GET", [(override, "POST")])
        expect(victim.who() == scene.victim, f"{override} signed the victim out")
    victim.ask(f"{action}?_method=POST", "GET")
    expect(victim.who() == scene.victim, "_method signed the victim out")
    return f"{', '.join(UNSAFE)} and 4 pretences, none of which does it"


def byLink(scene):
    """
    Every form's address with its fields as arguments, as a link or an image has it.
    """
    victim = scene.signedIn()
    target = scene.target

    def tries():
        for form in _forms(scene):
            for method in ("GET", "HEAD"):
                before = victim.uid
                victim.ask(f"{form.action}?{urlencode(form.filled(PROBE))}", method)
                seen = victim.get(target.home).body
                how = None
                if target.whoIn(seen) != scene.victim or victim.uid != before:
                    how = "it signed in or out"
                elif PROBE in seen:
                    how = "what was forged is on the page"
                yield f"{method} {form.action}", how

    return f"{allHeld(tries())} links, none of which does anything"


def signInAsAttacker(scene):
    """
    Another site signs the victim, who has no session yet, in under the attacker's name.
    """
    said = scene.credentials(scene.attacker)
    token = scene.browser().token()
    for fields in (said, {**said, scene.target.token: token}):
        victim = scene.browser()
        victim.post(scene.target.signIn, fields, origin="null", site="cross-site")
        expect(victim.who() is None, f"the victim is {scene.attacker} now")
        victim.post(scene.target.signIn, fields)
        expect(victim.who() is None, f"the victim is {scene.attacker} now, by a token")
    return "without a session and its token nobody is signed in"
