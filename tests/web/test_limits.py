"""
Limits of a class that a program changes while sessions of it are in use.
"""

from __future__ import annotations

from tests.web.again import AgainCase, count
from txsessions import Session


class ClassTests(AgainCase):
    """
    The next use of a session knows of them.
    """

    def setUp(self):
        """
        Have a session of a class of the program's, in use.
        """
        super().setUp()

        class Own(Session):
            sessionTimeout = 900
            sessionLifetime = 400000

        self.own = Own
        self.serve(count)
        self.site.sessionFactory = Own
        self.visitor = self.client()
        for _ in range(3):
            self.visitor.fetch("/")

    def visit(self):
        """
        Come once more, on a new connection.
        """
        return self.again(self.visitor, self.site).fetch("/").body

    def test_idleTimeGrows(self):
        """
        It is told to the store with that use: a session that leaves memory stays.
        """
        self.own.sessionTimeout = 5000
        self.clock.advance(5)
        self.visitor.fetch("/")
        for _ in range(200):
            self.clock.advance(10)
        self.assertEqual(dict(self.site.sessions), {})
        self.assertEqual(self.visit(), b"5")

    def test_looking(self):
        """
        So it is with a use that changes nothing.
        """
        self.site.resource.render = lambda request: request.getSession() and b"seen"
        self.visitor.fetch("/")
        self.own.sessionTimeout = 5000
        self.visitor.fetch("/")
        self.clock.advance(4000)
        self.site.resource.render = count
        self.assertEqual(self.visit(), b"4")

    def test_lifetimeShrinks(self):
        """
        Who is over the new limit is out with it.
        """
        self.own.sessionLifetime = 30
        self.clock.advance(20)
        self.assertEqual(self.visit(), b"4")
        self.clock.advance(11)
        self.assertEqual(self.visit(), b"1")
