"""
All attacks, in the order in which they are tried, and how a site fares.
"""

from __future__ import annotations

from attrs import frozen

from tests.attacks import (
    cookies,
    devices,
    fixation,
    forgery,
    guessing,
    leaks,
    redirects,
    reflection,
    replay,
    schemes,
    tossing,
)
from tests.attacks.client import Unusable
from tests.attacks.scene import Attack, Broken, NotTried

ONCE = {redirects, reflection}
"""What has to do with no scheme, and takes long."""

ATTACKS = [
    Attack(run, run.__module__ in {each.__name__ for each in ONCE})
    for run in [
        fixation.ownId,
        fixation.signedInId,
        fixation.madeUpId,
        fixation.readWhileSigningIn,
        fixation.idElsewhere,
        tossing.oneHeader,
        tossing.twoHeaders,
        tossing.amongOthers,
        tossing.otherName,
        tossing.signInBetween,
        schemes.idOfTheOther,
        schemes.stillThere,
        schemes.signInOver,
        schemes.claimedScheme,
        forgery.noToken,
        forgery.tokenOfAnother,
        forgery.tokenFromBefore,
        forgery.foreignOrigin,
        forgery.foreignSite,
        forgery.tokenInTheAddress,
        forgery.otherKinds,
        forgery.otherMethods,
        forgery.byLink,
        forgery.signInAsAttacker,
        replay.onEachPage,
        replay.manyAtOnce,
        replay.fromBefore,
        replay.lateWriter,
        replay.formsAfterwards,
        replay.remembered,
        replay.cookieDeleted,
        replay.backButton,
        guessing.ids,
        guessing.names,
        redirects.afterSignIn,
        redirects.inTheForm,
        redirects.whoIsInAlready,
        redirects.otherHost,
        redirects.pathAway,
        redirects.schemeKept,
        reflection.scripts,
        reflection.headers,
        reflection.ownCookie,
        reflection.kindOfPage,
        reflection.framed,
        cookies.attributes,
        cookies.onceInAnAnswer,
        cookies.otherNames,
        cookies.otherValues,
        cookies.strange,
        devices.handleOfAnother,
        devices.handleAsId,
        devices.listOfAnother,
        devices.endedIsDead,
        leaks.idInAnswers,
        leaks.tokens,
        leaks.tracebacks,
        leaks.log,
        # Whoever is refused because of these guesses may be so for a while.
        guessing.passwords,
    ]
]
"""All of them."""

HELD, BROKEN, NOT_TRIED = "held", "BROKEN", "not tried"


@frozen
class Outcome:
    """
    What came of one attack, by one address.

    @ivar verdict: C{"held"}, C{"BROKEN"} or C{"not tried"}.
    """

    attack: Attack
    scheme: str
    verdict: str
    happened: str


def tryOne(attack, scene):
    """
    Attack a site.

    @raise Unusable: It is not as it was described.
    """
    try:
        verdict, happened = HELD, attack.run(scene)
    except Broken as broken:
        verdict, happened = BROKEN, str(broken)
    except NotTried as reason:
        verdict, happened = NOT_TRIED, str(reason)
    except Unusable as error:
        raise Unusable(f"{attack.name}: {error}") from error
    return Outcome(attack, scene.place.scheme, verdict, happened)


def checkScene(scene):
    """
    See that everything that is attacked works for those whom it is for: else every
    attack would seem to fail.

    @raise Unusable: It does not.
    """
    target = scene.target
    for name in target.people:
        browser = scene.signedIn(name)
        if browser.uid is None:
            raise Unusable(f"{name} is signed in, but without a cookie {scene.cookie}")
        browser.signOut()
        if browser.who() is not None:
            raise Unusable(f"{name} cannot sign out by {target.signOut}")
    for form in target.forms:
        browser = scene.signedIn()
        answer = browser.post(form.action, form.filled("x"), target.home)
        if answer.refused:
            raise Unusable(f"{form.action} answers {answer.status} to a good form")
