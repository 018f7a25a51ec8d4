"""
Tests of L{txsessions.live.flashes}.
"""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError

from tests.live.sites import LiveCase
from tests.live.test_additions import Request
from txsessions import Flash
from txsessions.live.flashes import KEPT, MAX_FLASHES, MAX_LEVEL, MAX_TEXT


class FlashTests(LiveCase):
    """
    Messages that wait.
    """

    def texts(self, session):
        """
        Take what waits.
        """
        return [flash.text for flash in session.takeFlashes()]

    def test_once(self):
        """
        They are taken in their order, once.
        """
        session = self.site().makeSession()
        self.assertEqual(session.takeFlashes(), [])
        session.flash("saved")
        session.flash("but not printed", "warning")
        self.assertEqual(
            session.takeFlashes(),
            [Flash("saved", "info"), Flash("but not printed", "warning")],
        )
        self.assertEqual(session.takeFlashes(), [])

    def test_frozen(self):
        """
        A message does not change.
        """
        flash = Flash("saved")
        self.assertEqual(flash.level, "info")
        with self.assertRaises(FrozenInstanceError):
            flash.text = "lost"

    def test_same(self):
        """
        The same text twice is two messages.
        """
        session = self.site().makeSession()
        session.flash("again")
        session.flash("again")
        self.assertEqual(self.texts(session), ["again", "again"])

    def test_costsNothing(self):
        """
        To look when nothing waits changes nothing; a new session from which all was
        taken again is empty.
        """
        session = self.saved(self.site(), a=1)
        del self.store.calls[:]
        self.assertEqual(session.takeFlashes(), [])
        self.successResultOf(session.save())
        self.assertEqual(self.calls(), [])
        new = self.site().makeSession()
        new.flash("soon gone")
        self.assertEqual(self.texts(new), ["soon gone"])
        self.assertTrue(new._isBare())
        alone = self.site(None).makeSession()
        alone.flash("soon gone")
        self.assertEqual(self.texts(alone), ["soon gone"])
        self.assertTrue(alone._isBare())

    def test_kept(self):
        """
        They survive a restart and a rotation, with umlauts and all.
        """
        site = self.site()
        session = self.saved(site)
        session.flash("Grüße \U0001f600", "success")
        self.successResultOf(session.rotate(Request()))
        again = self.restart(site, session)
        self.assertEqual(again.takeFlashes(), [Flash("Grüße \U0001f600", "success")])

    def test_many(self):
        """
        When there are too many the oldest go.
        """
        session = self.site().makeSession()
        for number in range(MAX_FLASHES + 3):
            session.flash(str(number))
        self.assertEqual(
            self.texts(session), [str(n) for n in range(3, MAX_FLASHES + 3)]
        )

    def test_long(self):
        """
        What is too long is cut, and what is not is whole.
        """
        session = self.site().makeSession()
        session.flash("x" * MAX_TEXT)
        session.flash("x" * (MAX_TEXT + 1))
        whole, cut = self.texts(session)
        self.assertEqual(whole, "x" * MAX_TEXT)
        self.assertEqual(cut, "x" * (MAX_TEXT - 1) + "…")

    def test_broken(self):
        """
        Half a character, as broken input has it, does not keep a session from
        being saved.
        """
        session = self.saved(self.site(), a=1)
        session.flash("\ud800!")
        self.successResultOf(session.save())
        self.assertEqual(self.texts(session), ["?!"])

    def test_wrong(self):
        """
        What is no text is refused at once, and leaves nothing behind.
        """
        session = self.site().makeSession()
        self.assertRaises(TypeError, session.flash, b"bytes")
        self.assertRaises(TypeError, session.flash, "text", None)
        self.assertRaises(ValueError, session.flash, "text", "x" * (MAX_LEVEL + 1))
        self.assertTrue(session._isBare())

    def test_merged(self):
        """
        What another process adds while all is taken here is not lost, and what was
        taken does not come back.
        """
        site = self.site()
        session = self.saved(site)
        session.flash("first")
        self.successResultOf(session.save())
        other = self.load(self.another(), session)
        other.flash("second")
        self.successResultOf(other.save())
        self.assertEqual(self.texts(session), ["first"])
        self.successResultOf(session.save())
        self.assertEqual(self.texts(session), ["second"])
        self.successResultOf(session.save())
        again = self.load(self.another(), session)
        self.assertEqual(self.texts(again), [])
        self.assertEqual(self.heard.told(), ["created"])

    def test_addedTogether(self):
        """
        Messages that two processes add at once both wait, in the order in which
        they were saved.
        """
        session = self.saved(self.site(), a=1)
        other = self.load(self.another(), session)
        session.flash("here")
        other.flash("there")
        self.successResultOf(other.save())
        self.successResultOf(session.save())
        self.assertEqual(self.texts(session), ["there", "here"])

    def test_whileItIsBeingStored(self):
        """
        What is taken while its session gets to the store for the first time leaves
        room for what another process adds meanwhile.
        """
        session = self.site().makeSession()
        session.flash("first")
        self.store.hold()
        saved = session.save()
        self.assertEqual(self.texts(session), ["first"])
        self.store.pass_()
        self.successResultOf(saved)
        other = self.load(self.another(), session)
        self.assertEqual(self.texts(other), ["first"])
        other.flash("second")
        self.successResultOf(other.save())
        self.successResultOf(session.save())
        self.assertEqual(self.texts(session), ["second"])
        self.assertIn(KEPT, session.__dict__)

    def test_transact(self):
        """
        Whoever needs to know that nobody else anywhere takes the same, takes them
        in a transaction.
        """
        site = self.site()
        session = self.saved(site)
        session.flash("once")
        self.successResultOf(session.save())
        process = self.another()
        other = self.load(process, session)
        sites = [(site, session), (process, other)] * 3
        self.store.hold()
        uid = session._uid
        taken = [s.transact(uid, lambda own: own.takeFlashes()) for s, _ in sites]
        self.store.pass_()
        self.advance(5, 0.01)
        told = [self.successResultOf(one) for one in taken]
        self.assertEqual(sorted(map(len, told)), [0, 0, 0, 0, 0, 1])
