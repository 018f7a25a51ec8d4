"""
Ids of sessions that have ended, and of before they were rotated.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from tests.attacks.client import FORM
from tests.attacks.fixation import LOOKS, READERS
from tests.attacks.scene import NotTried, allHeld, expect


def onEachPage(scene):
    """
    After the sign-out the old id is presented on each page, and then once more on the
    first.
    """
    victim = scene.signedIn()
    old = victim.uid
    victim.signOut()
    expect(victim.uid != old, "the cookie is still in the browser")
    target = scene.target

    def tries():
        for page in [*target.pages, target.home]:
            browser = scene.browser(old)
            text = browser.follow(browser.get(page)).body
            who = target.whoIn(text)
            how = None if who is None else f"it is {who}"
            if any(
                old == cookie.value for a in browser.answers for cookie in a.cookies
            ):
                how = "the id is handed out again"
            yield page, how

    return f"{allHeld(tries())} pages, on each of which the id is nobody's"


def manyAtOnce(scene):
    """
    Many connections present the id at once, before, while and after the victim signs
    out.
    """
    victim = scene.signedIn()
    old = victim.uid

    def use(_):
        for _ in range(LOOKS):
            scene.whoHas(old)

    with ThreadPoolExecutor(READERS) as threads:
        using = threads.map(use, range(READERS))
        victim.signOut()
        # From here on, with others still under way, the sign-out is acknowledged.
        after = [scene.whoHas(old) for _ in range(LOOKS)]
        list(using)
        after += threads.map(scene.whoHas, [old] * READERS * LOOKS)
    expect(set(after) == {None}, f"the id was that of {set(after) - {None}} afterwards")
    return f"{len(after)} looks after it found nobody"


def fromBefore(scene):
    """
    The id from before the sign-in is presented while the victim is signed in, after
    another sign-in, and after the sign-out.
    """
    victim = scene.browser()
    victim.get(scene.target.login)
    ids = [victim.uid]
    for _ in range(2):
        victim.signIn()
        ids.append(victim.uid)
        for each in ids[:-1]:
            who = scene.whoHas(each) if each else None
            expect(who is None, f"an id from before a sign-in is that of {who}")
    victim.signOut()
    for each in ids:
        who = scene.whoHas(each) if each else None
        expect(who is None, f"after the sign-out an old id is that of {who}")
    return f"{len(ids)} ids, each dead once there was a newer one"


def lateWriter(scene):
    """
    A form is half sent when the victim signs out; then the rest of it comes.
    """
    victim = scene.signedIn()
    old, target = victim.uid, scene.target
    forms = target.forms or [None]
    for form in forms:
        action, fields = (
            (form.action, form.fields) if form else (target.signIn, {target.user: "x"})
        )
        token = victim.token(target.home)
        body = urlencode({**fields, target.token: token})
        headers = [FORM, ("Cookie", f"{scene.cookie}={old}")]
        headers.append(("Origin", scene.place.origin))
        written = scene.place.write(action, "POST", headers, body)
        line = scene.place.open()
        line.send(written[:-3])
        victim.signOut()
        line.send(written[-3:])
        answer = line.answer()
        expect(
            all(cookie.value != old for cookie in answer.cookies),
            "the late answer sets the old id",
        )
        who = scene.whoHas(old)
        expect(who is None, f"{action} brought the session of {who} back")
        victim.signIn()
        old = victim.uid
    return f"{len(forms)} forms, none of which brings the session back"


def formsAfterwards(scene):
    """
    Every form with the id and the token of a session that has ended.
    """
    victim = scene.signedIn()
    old, target = victim.uid, scene.target
    token = victim.token(target.home)
    victim.signOut()

    def tries():
        for action in [*(form.action for form in target.forms), target.signOut]:
            ghost = scene.browser(old)
            answer = ghost.post(action, {target.token: token})
            who = scene.whoHas(old)
            # To sign out twice need not be refused.
            if not answer.refused and action != target.signOut:
                yield action, f"it answered {answer.status}"
            else:
                yield action, None if who is None else f"the session of {who} is back"

    return f"{allHeld(tries())} forms, each of which was refused"


def remembered(scene):
    """
    The victim stays signed in with this device, and signs out: all cookies that there
    were are presented, together and each alone.
    """
    target = scene.target
    if target.remember is None:
        raise NotTried("nobody stays signed in for longer")
    victim = scene.browser()
    victim.trySignIn(scene.victim, **{target.remember: "yes"})
    jar = dict(victim.jar)
    expect(victim.who() == scene.victim, "nobody is signed in")
    victim.signOut()

    def tries():
        for kept in (jar, *({name: value} for name, value in jar.items())):
            browser = scene.browser(jar=kept)
            for page in (target.home, target.login, target.home):
                text = browser.follow(browser.get(page)).body
                who = target.whoIn(text)
                yield " and ".join(kept), None if who is None else f"it is {who}"

    return f"{allHeld(tries())} looks at pages found nobody"


def cookieDeleted(scene):
    """
    The sign-out is looked at as a browser does: whether it forgets the cookie.
    """
    victim = scene.signedIn()
    victim.signOut()
    (first, *_) = [c for a in victim.answers[-1:] for c in a.cookies] or [None]
    expect(first is not None, "the sign-out sets no cookie, so the old one stays")
    expect(first.deletes and first.name == scene.cookie, "the cookie is not deleted")
    made = [c for a in victim.answers[:-1] for c in a.cookies if c.name == first.name]
    for key in ("path", "domain", "secure", "partitioned"):
        expect(
            made[-1].attributes.get(key) == first.attributes.get(key),
            f"{key} is another one than when it was set, so it stays",
        )
    return "it is deleted as it was set"


def backButton(scene):
    """
    A page for who is signed in is looked at as a cache does: whether it may be kept and
    be shown after the sign-out.
    """
    victim = scene.signedIn()
    answer = victim.get(scene.target.home)
    if scene.target.whoIn(answer.body) is None:
        raise NotTried("the home page is for nobody")
    said = answer.first("Cache-Control").lower()
    expect("no-store" in said, f"it says {said or 'nothing'!r} in Cache-Control")
    return "it says no-store"
