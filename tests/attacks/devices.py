"""
The page on which people end their sessions one by one.
"""

from __future__ import annotations

import re

from tests.attacks.client import Unusable
from tests.attacks.scene import NotTried, allHeld, expect

OTHERS = 2
"""With how many browsers more the victim signs in."""


def _page(scene):
    """
    The description of that page.

    @raise NotTried: There is none.
    """
    if scene.target.devices is None:
        raise NotTried("there is no page of devices")
    return scene.target.devices


def _handles(scene, browser):
    """
    The handles on somebody's page.
    """
    page = _page(scene)
    text = browser.get(page.page).body
    tags = re.findall(
        rf"<(?:input|button)\b[^>]*\bname=[\"']{page.field}[\"'][^>]*>", text
    )
    return [value for tag in tags for value in re.findall(r"value=[\"']([^\"']+)", tag)]


def _stolen(scene):
    """
    Have the victim sign in with some browsers.

    @return: One that looks on, the others, and the handles that these have.
    @raise Unusable: They are not on the page.
    """
    owner = scene.signedIn()
    before = set(_handles(scene, owner))
    others = [scene.signedIn() for _ in range(OTHERS)]
    handles = [each for each in _handles(scene, owner) if each not in before]
    if len(handles) != OTHERS:
        raise Unusable(
            f"{scene.victim} signed in {OTHERS} times, and {len(handles)} handles more "
            "are on the page of devices"
        )
    return owner, others, handles


def handleOfAnother(scene):
    """
    The attacker sends the form to end a session with the handle of one of the victim's,
    and with what is no handle.
    """
    page = _page(scene)
    owner, others, handles = _stolen(scene)
    attacker = scene.signedIn(scene.attacker)
    for handle in [*handles, "", "*", "%", "0" * 64, "' OR 1=1--", handles[0].upper()]:
        attacker.post(page.action, {page.field: handle}, page.page)
    for victim in (owner, *others):
        expect(victim.who() == scene.victim, "the victim's session was ended")
    return f"{len(handles)} handles of the victim, by which no session was ended"


def handleAsId(scene):
    """
    The handles of sessions are presented as ids.
    """
    _, _, handles = _stolen(scene)

    def tries():
        for handle in handles:
            for form in (handle, handle * 2, handle * 4, handle.ljust(64, "0")):
                who = scene.whoHas(form)
                yield form[:12], None if who is None else f"it is {who}"

    return f"{allHeld(tries())} ids made of handles, each of which is nobody"


def listOfAnother(scene):
    """
    The page is looked at by the attacker and by nobody, with the victim's name in the
    address: whether a handle of the victim's is on it.
    """
    page = _page(scene)
    _, _, handles = _stolen(scene)
    attacker = scene.signedIn(scene.attacker)

    def tries():
        for browser in (attacker, scene.browser()):
            for name in dict.fromkeys(("", "principal", "name", scene.target.user)):
                text = browser.get(f"{page.page}?{name}={scene.victim}").body
                found = any(handle in text for handle in handles)
                yield f"?{name}=", "a handle of the victim is on it" if found else None

    return f"{allHeld(tries())} looks, at none of the victim's"


def endedIsDead(scene):
    """
    Sessions are ended from another browser: whether their ids still do anything.
    """
    page = _page(scene)
    owner, others, handles = _stolen(scene)
    ids = [each.uid for each in others]
    for handle in handles:
        owner.post(page.action, {page.field: handle}, page.page)
    for when in ("then", "a second time"):
        for uid in ids:
            who = scene.whoHas(uid)
            expect(who is None, f"who presents an id that was ended {when} is {who}")
    return f"{len(handles)} sessions ended, whose ids are nobody's"
