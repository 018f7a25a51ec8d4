"""
What meets where people sign in and are put out, and how it may end.

Owns the table of these meetings and their judge.  In each there are a session that is
C{mine}, one that is my C{other}, signed in as the same principal, and one of a
C{stranger}.  C{admin} and C{nobody} show no id.  What the store has to have done, step
by step, is L{tests.races.ledger}.
"""

from __future__ import annotations

import itertools
import secrets

from attrs import Factory, define, field, frozen

from tests.races.ledger import Ledger
from tests.races.meetings import Action, Judge, Meeting

NEW_IDS = ("signin", "rotate", "endothers", "enter")
"""What gives a new id."""


@frozen(kw_only=True)
class SignInMeeting(Meeting):
    """
    Requests that meet where people sign in.

    @ivar isIn: Whether somebody is signed in on C{mine} before.
    """

    isIn: bool = True

    @property
    def judge(self):
        """
        See L{Meeting.judge}.
        """
        return SignInJudge


def _meetings(scenario, *all_, isIn=True):
    """
    Make the meetings of a scenario.
    """
    return tuple(
        SignInMeeting(scenario=scenario, actions=actions, isIn=isIn) for actions in all_
    )


def _each(first, *others):
    """
    Let one meet each of the others.
    """
    return [(first, other) for other in others]


IN = "mine: signin?who={me}"
AGAIN = "mine: signin?who={me}&level=2"
END = "admin: endprincipal?who={me}"
END_MINE = "admin: endsession?who={me}&handle={mine}"
END_OTHER = "admin: endsession?who={me}&handle={other}"
OTHERS = "mine: endothers"

SIGN_INS = (
    *_meetings(
        "sign-in",
        *_each(
            IN,
            IN,
            "mine: signin?who={you}",
            "mine: look",
            "mine: touch",
            "mine: bump?key=a",
            "mine: transact?key=x",
            "mine: rotate",
            "mine: signout",
            "other: endothers",
            END,
        ),
        ("mine: signin?who={me}&keep=no", "mine: bump?key=a"),
        ("mine: signin?who={me}&keep=no", IN),
        isIn=False,
    ),
    *_meetings(
        "second factor",
        *_each(
            AGAIN,
            AGAIN,
            "mine: look",
            "mine: touch",
            "mine: bump?key=a",
            "mine: transact?key=x",
            "mine: rotate",
            "mine: signout",
            "other: endothers",
            "mine: signin?who={you}",
            OTHERS,
            END,
            END_MINE,
        ),
        ("mine: signin?who={me}&level=2&keep=no", "mine: bump?key=a"),
        ("mine: signin?who={you}", "mine: signout"),
        ("mine: signin?who={you}", END),
    ),
    *_meetings(
        "end of all",
        *_each(
            END,
            "mine: look",
            "mine: touch",
            "mine: bump?key=a",
            "mine: transact?key=x",
            "mine: rotate",
            "mine: signout",
            "mine: endprincipal?who={me}",
            END_MINE,
            OTHERS,
            "nobody: enter?who={me}",
        ),
    ),
    *_meetings(
        "end of others",
        *_each(
            OTHERS,
            "other: look",
            "other: touch",
            "other: bump?key=a",
            "other: transact?key=x",
            "other: rotate",
            "other: signout",
            "other: signin?who={me}&level=2",
            "other: endothers",
            OTHERS,
            "mine: bump?key=a",
            "mine: rotate",
            "mine: signout",
            "nobody: enter?who={me}",
        ),
    ),
    *_meetings(
        "end of one",
        *_each(
            END_OTHER,
            "other: look",
            "other: touch",
            "other: bump?key=a",
            "other: transact?key=x",
            "other: rotate",
            "other: signout",
            OTHERS,
            END_OTHER,
        ),
    ),
)
"""What meets."""

SIGN_IN_CROWDS = (
    *_meetings("sign-in", (IN, END, "mine: bump?key=a"), (IN, IN, END), isIn=False),
    *_meetings(
        "second factor",
        (AGAIN, AGAIN, AGAIN),
        (AGAIN, AGAIN, END),
        (AGAIN, "mine: signout", "other: endothers"),
    ),
    *_meetings(
        "end of all",
        (END, "mine: rotate", "other: touch"),
        (END, END, "nobody: enter?who={me}"),
    ),
    *_meetings(
        "end of others",
        (OTHERS, "other: bump?key=a", "nobody: enter?who={me}"),
        (OTHERS, "other: endothers", "mine: touch"),
    ),
    *_meetings("end of one", (END_OTHER, "other: rotate", "other: touch")),
)
"""What meets three at a time."""

ENDERS = ("signout", "endprincipal", "endsession", "endothers")
"""What ends sessions."""

_tokens = (f"{secrets.token_hex(4)}.{number}" for number in itertools.count())


@define(kw_only=True)
class SignInJudge(Judge):
    """
    Finds what must not be in one of these meetings.

    @ivar names: What stands for the braces in the table.
    @ivar ids: The ids that there were before, by whose they are.
    @ivar ledger: What the store did, where the requests are stepped.
    """

    newIds = NEW_IDS

    names: dict = Factory(dict)
    ids: dict = Factory(dict)
    ledger: Ledger = field(init=False)
    _told: dict = Factory(dict)

    def prepare(self, maker, *, isWarm):
        """
        See L{Judge.prepare}.
        """
        token = next(_tokens)
        names = self.names = {"me": f"ann{token}", "you": f"bob{token}"}
        mine = f"enter?who={names['me']}" if self.meeting.isIn else "begin"
        for whose, path in (
            ("mine", mine),
            ("other", f"enter?who={names['me']}"),
            ("stranger", f"enter?who=cat{token}"),
        ):
            uid = self.ids[whose] = self._made(maker, path)
            self._warm(uid, isWarm=isWarm)
            names[whose] = maker.get("look", uid).told["who"][2]
        self.uid = self.ids["mine"]
        self.ledger = Ledger(names["me"], names["mine"], isIn=self.meeting.isIn)
        self._before = self.fleet.events()

    def shown(self, action):
        """
        See L{Judge.shown}.
        """
        return action.path.format(**self.names), self.ids.get(action.by)

    def _filled(self, action):
        """
        An action without braces.
        """
        return Action(path=self.shown(action)[0], by=action.by)

    def stopped(self, action, member):
        """
        See L{Judge.stopped}.
        """
        for verb, outcome in member.line.ask("witnessed") if self.isStepped else ():
            filled = self._told.setdefault(action, self._filled(action))
            wrong = self.ledger.add(filled, verb, outcome)
            if wrong:
                self._fault(f"{wrong}: {self.ledger}")

    # -- as they are answered

    def answered(self, action, answer):
        """
        See L{Judge.answered}.
        """
        self._answers.append((action, answer))
        does = action.does
        if answer.status == 503 and does == "endothers" and answer.uid is None:
            # Its own session was overtaken, so that it must not say that all is done.
            return
        if answer.status != 200:
            self._failed(action, answer)
            return
        did, outcome = "did" in answer.told, answer.told.get("outcome")
        failed = outcome == "gone"
        if answer.uid == b"" and not (did and does == "signout"):
            self._fault(f"{action.text} deleted the cookie")
        if answer.uid and (failed or not did or does not in NEW_IDS):
            self._fault(f"{action.text} set a cookie")
        if does in {"signin", "enter"} and did and not (failed or answer.uid):
            self._fault(f"{action.text} set no cookie")
        if isinstance(outcome, str) and outcome not in {"", "gone"}:
            self._fault(f"{action.text} came to {outcome}")
        for uid in self._dead():
            self._tryEverywhere(uid, f"after {action.text}")

    def _done(self):
        """
        The requests that were acknowledged, with what they were told.
        """
        return [
            (action, answer)
            for action, answer in self._answers
            if "did" in answer.told and answer.told["outcome"] != "gone"
        ]

    def _ended(self):
        """
        Whose sessions have ended for certain: those that were signed in before, by
        whatever id they go now, unless somebody else has signed in on them.
        """
        ended = set()
        for action, _ in self._done():
            if action.does == "signout":
                ended.add(action.by)
            elif action.does == "endprincipal":
                ended |= {"mine", "other"}
            elif action.does == "endothers":
                ended |= {"mine", "other"} - {action.by}
            elif action.does == "endsession":
                ended.add("mine" if "{mine}" in action.path else "other")
        return ended if self.meeting.isIn else ended - {"mine"}

    def _dead(self):
        """
        The ids that must not be accepted any more.
        """
        ended = self._ended()
        dead = [self.ids[whose] for whose in sorted(ended)]
        for action, answer in self._answers:
            if answer.uid:
                isBuiltOn = action.does != "enter" and "{you}" not in action.path
                if isBuiltOn and action.by in ended:
                    dead.append(answer.uid)
                dead += [self.ids[action.by]] if action.by in self.ids else []
            elif answer.uid == b"":
                dead.append(self.ids[action.by])
        return list(dict.fromkeys(dead))

    # -- at the end

    def finish(self):
        """
        See L{Judge.finish}.
        """
        fleet, found = self.fleet, {}
        fresh = {answer.uid: action for action, answer in self._answers if answer.uid}
        for uid in (*self.ids.values(), *fresh):
            answers = [member.get("look", uid) for member in fleet.members]
            told = [(each.told.get("state"), each.told.get("who")) for each in answers]
            if any(answer.status != 200 or answer.uid for answer in answers):
                self._fault(f"a look at the end was answered {answers}")
            if any(each != told[0] for each in told):
                self._fault(f"the processes do not see the same: {told}")
            if told[0][0] is not None:
                found[uid] = told[0]
        self._judgeLiving(found)
        for uid in self._dead():
            if uid in found:
                self._fault("an id is alive that has ended")
        self._judgeNames(found, fresh)
        self._judgeNumber(found)
        self._judgeIndex(found)
        if self.isStepped:
            self._judgeLedger(found)
        self._judgeStates(found)
        for uid in found:
            fleet.members[-1].get("signout", uid, self._wasLate)
        self._settle()
        return self.faults

    def _judgeStates(self, found):
        """
        Find out if all is there that was acknowledged.
        """
        if all(action.by in {"mine", "admin"} for action in self.meeting.actions):
            for uid, (state, _) in found.items():
                if self._isMine(uid) and "cart" in state:
                    self._judgeState(state)

    def _isMine(self, uid):
        """
        Whether an id is that of C{mine}, or has become so.
        """
        return uid == self.uid or any(
            answer.uid == uid and action.by == "mine"
            for action, answer in self._answers
        )

    def _judgeNames(self, found, fresh):
        """
        Find out if everybody is who he ought to be.
        """
        me = [self.names["me"], 1]
        first = {"mine": me if self.meeting.isIn else [None, 0], "other": me}
        for whose, uid in self.ids.items():
            if uid in found and whose in first and found[uid][1][:2] != first[whose]:
                self._fault(f"{whose} is {found[uid][1]}")
        if self.ids["stranger"] not in found:
            self._fault("the stranger is out")
        for uid, action in fresh.items():
            if uid not in found or action.does not in {"signin", "enter"}:
                continue
            filled = self._filled(action)
            said = [filled.argument("who"), int(filled.argument("level") or 1)]
            if found[uid][1][:2] != said:
                self._fault(f"{action.text} made {found[uid][1]}")

    def _judgeNumber(self, found):
        """
        Find out if there is one where there has to be one.
        """
        done = [action.does for action, _ in self._done()]
        if not any(does in ENDERS for does in done):
            for whose in ("mine", "other"):
                alive = [
                    uid
                    for uid in found
                    if uid == self.ids[whose]
                    or any(
                        answer.uid == uid and action.by == whose
                        for action, answer in self._answers
                    )
                ]
                if not alive:
                    self._fault(f"{whose} is lost")
                if (
                    len(alive) > 1
                    and self.meeting.isIn
                    and "{you}" not in (self.meeting.name)
                ):
                    self._fault(f"{whose} is there {len(alive)} times")

    def _judgeIndex(self, found):
        """
        Find out if all who are signed in are found by their principal.
        """
        for who in (self.names["me"], self.names["you"]):
            handles = sorted(told[2] for _, told in found.values() if told[0] == who)
            for member in self.fleet.members[:2]:
                listed, wrong = member.sessionsOf(who)
                if listed != handles or wrong:
                    self._fault(f"{handles} are found as {listed}, {wrong} are wrong")

    def _judgeLedger(self, found):
        """
        Find out if those are alive that should be, and if all was told as it was.
        """
        alive = {
            self._uidOf(key): [line.who, line.level]
            for key, line in self.ledger.alive().items()
        }
        there = {
            uid: told[:2]
            for uid, (_, told) in found.items()
            if uid != self.ids["stranger"]
        }
        if alive != there:
            names = {uid: whose for whose, uid in self.ids.items()}
            said = [
                {names.get(uid, "new"): who for uid, who in each.items()}
                for each in (alive, there)
            ]
            self._fault(f"{said[1]} are alive, not {said[0]}: {self.ledger}")
        for action, answer in self._answers:
            filled = self._told.get(action)
            if filled is None or "did" not in answer.told:
                continue
            expected = self.ledger.outcome(filled)
            if expected is not None and answer.told["outcome"] != expected:
                outcome = answer.told["outcome"]
                self._fault(f"{action.text} told {outcome}: {self.ledger}")

    def _uidOf(self, key):
        """
        The id that the ledger means.
        """
        if isinstance(key, str):
            return self.ids[key]
        for action, answer in self._answers:
            if self._told.get(action) is key:
                return answer.uid
        return None


__all__ = ["SIGN_INS", "SIGN_IN_CROWDS", "SignInJudge", "SignInMeeting"]
