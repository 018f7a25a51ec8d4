"""
What meets, and how it may end.

Owns the table of requests that are made of one session at the same time in different
processes, and the judge: whatever the order, he finds what must not be.  Knows
nothing of how they are let meet.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import parse_qsl

from attrs import Factory, define, field, frozen

CART = {"apples", "pears", "plums"}
"""What is in the dict at first."""

MARKS = {"red", "green", "blue"}
"""What is in the set at first."""


@frozen(kw_only=True, eq=False)
class Action:
    """
    A request.

    @ivar path: What is asked for.
    @ivar by: Whose id it shows, where there are more than one.
    """

    path: str
    by: str = ""

    @classmethod
    def read(cls, text):
        """
        Make one of what is in a table: C{"path"} or C{"who: path"}.
        """
        by, _, path = text.rpartition(": ")
        return cls(path=path, by=by)

    @property
    def text(self):
        """
        What L{read} makes this of.
        """
        return f"{self.by}: {self.path}" if self.by else self.path

    @property
    def does(self):
        """
        What it does.
        """
        return self.path.partition("?")[0]

    def argument(self, name):
        """
        An argument of it.
        """
        return dict(parse_qsl(self.path.partition("?")[2])).get(name, "")


@frozen(kw_only=True)
class Meeting:
    """
    Requests that meet.

    @ivar scenario: What this is about.
    @ivar actions: The requests.
    """

    scenario: str
    actions: tuple[Action, ...] = field(
        converter=lambda texts: tuple(Action.read(text) for text in texts)
    )

    @property
    def judge(self):
        """
        The class of who judges this.
        """
        return Judge

    @property
    def name(self):
        """
        For people.
        """
        return " | ".join(action.text for action in self.actions)

    def does(self, *what):
        """
        Whether one of the requests does that.
        """
        return any(action.does in what for action in self.actions)


def _meetings(scenario, *all_):
    """
    Make the meetings of a scenario.
    """
    return tuple(Meeting(scenario=scenario, actions=actions) for actions in all_)


MEETINGS = (
    *_meetings(
        "counters",
        ("bump?key=a", "bump?key=b"),
        ("bump?key=a", "bump?key=a"),
        ("note?key=c", "note?key=d"),
        ("note?key=c", "note?key=c"),
        ("transact?key=x", "transact?key=x"),
        ("transact?key=x", "bump?key=a"),
        ("transact?key=x", "look"),
        ("bump?key=a", "touch"),
    ),
    *_meetings(
        "carts",
        ("cart?put=figs", "cart?put=dates"),
        ("cart?put=figs", "cart?drop=plums"),
        ("cart?drop=apples", "cart?drop=plums"),
        ("cart?drop=plums", "cart?drop=plums"),
        ("cart?put=figs&drop=apples", "mark?put=gold&drop=blue"),
        ("mark?put=gold", "mark?put=grey"),
        ("mark?put=gold&drop=blue", "mark?put=grey&drop=red"),
        ("mark?drop=blue", "mark?drop=blue"),
    ),
    *_meetings(
        "logout",
        ("logout", "bump?key=a"),
        ("logout", "cart?drop=plums"),
        ("logout", "look"),
        ("logout", "touch"),
        ("logout", "rotate"),
        ("logout", "login"),
        ("logout", "logout"),
        ("logout", "transact?key=x"),
    ),
    *_meetings(
        "login",
        ("login", "look"),
        ("login", "touch"),
        ("login", "bump?key=a"),
        ("login", "transact?key=x"),
        ("login", "login"),
        ("rotate", "rotate"),
        ("rotate", "look"),
        ("rotate", "cart?put=figs&drop=plums"),
    ),
)
"""What meets."""

CROWDS = (
    *_meetings(
        "counters",
        ("bump?key=a", "bump?key=a", "bump?key=b"),
        ("note?key=c", "note?key=d", "note?key=e"),
        ("transact?key=x", "transact?key=x", "transact?key=x"),
        ("transact?key=x", "bump?key=a", "bump?key=b"),
    ),
    *_meetings(
        "carts",
        ("cart?put=figs", "cart?drop=plums", "mark?put=gold&drop=red"),
    ),
    *_meetings(
        "logout",
        ("logout", "bump?key=a", "bump?key=b"),
        ("logout", "rotate", "bump?key=a"),
        ("logout", "touch", "transact?key=x"),
        ("logout", "logout", "login"),
    ),
    *_meetings(
        "login",
        ("login", "bump?key=a", "bump?key=b"),
        ("rotate", "rotate", "rotate"),
        ("login", "rotate", "touch"),
    ),
)
"""What meets three at a time."""

NEW_IDS = ("login", "rotate")
"""What gives a new id."""

COUNTS = ("bump", "note")
"""What counts without being exact."""


def isGone(answer):
    """
    Whether an id was refused, and nothing was done to the cookie.
    """
    return answer.status == 200 and answer.told == {"gone": True} and answer.uid is None


@define(kw_only=True)
class Judge:
    """
    Finds what must not be in one meeting.

    @ivar fleet: The servers.
    @ivar meeting: What meets.
    @ivar uid: The id that all show.
    @ivar faults: What was found.
    @cvar newIds: What gives a new id.
    """

    newIds = NEW_IDS

    fleet: object
    meeting: Meeting
    uid: bytes = b""
    isStepped: bool = False
    faults: list = Factory(list)
    _late: int = 0
    _isOut: bool = False
    _answers: list = Factory(list)
    _before: dict = Factory(lambda self: self.fleet.events(), takes_self=True)

    def prepare(self, maker, *, isWarm):
        """
        Make the session.

        @param maker: The server that does.
        @param isWarm: Whether all have it in memory then.
        """
        self.uid = self._made(maker, "begin")
        self._warm(self.uid, isWarm=isWarm)

    def _made(self, maker, path):
        """
        Make a session.

        @return: Its id.
        """
        return maker.get(path, late=self._wasLate).uid

    def _wasLate(self):
        """
        The store was late, and may have made a session of which nobody knows.
        """
        self._late += 1

    def _warm(self, uid, *, isWarm):
        """
        Show an id to all servers, if they are to know it.
        """
        for member in self.fleet.members if isWarm else ():
            member.get("look", uid)

    def shown(self, action):
        """
        What is sent for a request: the path, and the id that is shown.
        """
        return action.path, self.uid

    def stopped(self, action, member):
        """
        A request has come to a stop, or to its end.
        """

    def _fault(self, text):
        """
        Note what must not be.
        """
        self.faults.append(f"{self.meeting.scenario}: {self.meeting.name}: {text}")

    def answered(self, action, answer):
        """
        A request was answered; others may be under way.
        """
        self._answers.append((action, answer))
        if answer.status != 200:
            self._failed(action, answer)
            return
        did = "did" in answer.told
        if answer.uid == b"" and not (did and action.does == "logout"):
            self._fault(f"{action.path} deleted the cookie")
        if answer.uid and not (did and action.does in self.newIds):
            self._fault(f"{action.path} set a cookie")
        self._isOut = self._isOut or (did and action.does == "logout")
        if did and (action.does == "logout" or answer.uid):
            # After a logout by whichever id all are dead, and so is one that is
            # given afterwards.
            for uid in (self.uid, *self._fresh()) if self._isOut else (self.uid,):
                self._tryEverywhere(uid, f"after {action.path}")

    def _failed(self, action, answer):
        """
        A request failed, which none has to.
        """
        said = answer.told
        if answer.status == 503:
            said = self.fleet.complaint()
            self._wasLate()
        self._fault(f"{action.text} was answered {answer.status}: {said}")

    def _fresh(self):
        """
        The new ids that were given.
        """
        return [answer.uid for _, answer in self._answers if answer.uid]

    def _tryEverywhere(self, uid, when):
        """
        Show a dead id to all processes that can answer now.
        """
        for number, member in reversed(list(enumerate(self.fleet.members))):
            with member.resting() as canAnswer:
                answer = member.get("look", uid) if canAnswer else None
            if answer and not isGone(answer):
                told = answer.status, answer.told, answer.uid
                self._fault(f"process {number} accepts a dead id {when}: {told}")

    def finish(self):
        """
        All were answered: look at what is left.

        @return: The faults.
        """
        fleet = self.fleet
        fresh, found = self._fresh(), {}
        for uid in (self.uid, *fresh):
            answers = [member.get("look", uid) for member in fleet.members]
            states = [answer.told.get("state") for answer in answers]
            if any(answer.status != 200 or answer.uid for answer in answers):
                self._fault(f"a look at the end was answered {answers}")
            if any(state != states[0] for state in states):
                self._fault(f"the processes do not see the same: {states}")
            if states[0] is not None:
                found[uid] = states[0]
        self._judgeLiving(found)
        self._judgeIds(found, fresh)
        for state in found.values():
            self._judgeState(state)
        for uid in found:
            fleet.members[-1].get("logout", uid, self._wasLate)
        self._settle()
        return self.faults

    def _settle(self):
        """
        Leave nothing behind.
        """
        if self._late:
            self.fleet.settle()

    def _judgeLiving(self, found):
        """
        Find out if there are sessions in the store that nobody knows.
        """
        living = self.fleet.living()
        if not len(found) <= living <= len(found) + self._late:
            self._fault(f"{living} sessions are in the store, {len(found)} are known")

    def _judgeIds(self, found, fresh):
        """
        Find out if the right ids are alive.
        """
        did = [action.does for action, answer in self._answers if "did" in answer.told]
        ended = "logout" in did
        if ended and found:
            self._fault("the session is alive after a logout")
        if not ended:
            if len(found) != 1:
                self._fault(f"{len(found)} ids are alive, of {len(fresh)} new ones")
            if fresh and self.uid in found:
                self._fault("the old id is alive")
            if not fresh and any(each in self.newIds for each in did):
                self._fault("nobody was given the new id")
        if self.isStepped and len(fresh) > 1:
            self._fault(f"{len(fresh)} new ids were given out")

    def _noticed(self):
        """
        How many events there were of conflicts, and of sessions that were found to
        have ended.
        """
        now, before = self.fleet.events(), self._before
        return [
            now.get(kind, 0) - before.get(kind, 0)
            for kind in ("conflict", "ended elsewhere")
        ]

    def _judgeState(self, state):
        """
        Find out if all is in it that was acknowledged.
        """
        done = [pair for pair in self._answers if "did" in pair[1].told]
        conflicts, ends = self._noticed()
        moved = self.meeting.does(*self.newIds)
        excused = conflicts + (ends if moved else 0)
        sent = Counter(a.argument("key") for a, _ in done if a.does in COUNTS)
        lost = self._lost(done, state, sent)
        missing = sum(lost.values())
        isCrowd = len(self._answers) > 2
        if (conflicts and max(sent.values(), default=0) > 2) or (
            isCrowd and moved and ends
        ):
            # Who writes last may write over several of whom each had seen the one
            # before, and a session that has ended tells so once for all requests.
            excused = missing
        if missing > excused or min(lost.values(), default=0) < 0:
            self._fault(f"missing {lost}, {excused} were told of: {state}")
        if not moved and len(self._answers) == 2 and missing != conflicts:
            self._fault(f"{missing} are missing, {conflicts} conflicts were told")
        if not moved and max(sent.values(), default=0) < 2 and conflicts:
            self._fault(f"{conflicts} conflicts were told where there was none")
        for key, count in self._exact(done).items():
            if state.get(key, 0) != count:
                self._fault(f"{count} transactions made {state.get(key, 0)}")
        names = {"you" for a, answer in done if a.does == "login" and answer.uid}
        if names and state["user"] not in names:
            self._fault(f"the name after a login is {state['user']}")

    def _exact(self, done):
        """
        Count the transactions that were said to be done, by their keys.
        """
        return Counter(
            action.argument("key")
            for action, answer in done
            if action.does == "transact" and isinstance(answer.told["outcome"], int)
        )

    def _lost(self, done, state, sent):
        """
        Count what was acknowledged and is not there, by what it is.
        """
        lost = Counter()
        for key, count in sent.items():
            lost[key] = count - state.get(key, state["notes"].get(key, 0))
        for what, first in (("cart", CART), ("mark", MARKS)):
            asked = [a for a, _ in self._answers if a.does == what]
            acknowledged = [a for a, _ in done if a.does == what]
            there = set(state["cart" if what == "cart" else "marks"])
            puts, drops = (
                [
                    {a.argument(name) for a in some} - {""}
                    for some in (asked, acknowledged)
                ]
                for name in ("put", "drop")
            )
            # It is one part, and one event tells of it.
            lost[what] = int(bool(puts[1] - there or drops[1] & there))
            # Nobody asked for these.
            surplus = (first - drops[0] - there) | (there - first - puts[0])
            if surplus:
                self._fault(f"nobody asked for {surplus}")
        return lost


__all__ = [
    "COUNTS",
    "CROWDS",
    "MEETINGS",
    "NEW_IDS",
    "Action",
    "Judge",
    "Meeting",
    "isGone",
]
