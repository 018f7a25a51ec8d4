"""
Tests of L{txsessions.auth._page}: the pages to sign in and out.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.auth import LoginForm
from txsessions.auth._form import MESSAGES
from txsessions.auth._page import POLICY, loginPage, logoutPage

VOID = {"meta", "input"}

evil = st.text() | st.sampled_from(
    ['"><script>alert(1)</script>', "' onfocus='a", "{token}", "&quot;", "</style>"]
)


class Reader(HTMLParser):
    """
    What is in a page: all elements, and whether each is closed.
    """

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.open = []
        self.text = ""
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        """
        See C{HTMLParser}.
        """
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """
        See C{HTMLParser}.
        """
        assert self.open.pop() == tag

    def handle_data(self, data):
        """
        See C{HTMLParser}.
        """
        if "style" not in self.open:
            self.text += data

    def all(self, tag):
        """
        The attributes of all elements of one kind.
        """
        return [attributes for found, attributes in self.found if found == tag]


def form(**how):
    """
    What there is to show.
    """
    return LoginForm(
        **{"action": "/login", "csrfToken": "token", "returnTo": "/", **how}
    )


class LoginPageTests(SynchronousTestCase):
    """
    The page to sign in.
    """

    def test_accessible(self):
        """
        It is in a language, fits a phone, and may be enlarged; each field has a label;
        password stores know the fields; nothing wants a script or another file.
        """
        page = Reader(loginPage(form(remembers=True)))
        self.assertEqual(page.open, [])
        self.assertEqual(page.all("html"), [{"lang": "en"}])
        [viewport] = [
            m["content"] for m in page.all("meta") if "viewport" in m.values()
        ]
        self.assertEqual(viewport, "width=device-width, initial-scale=1")
        labels = {label.get("for") for label in page.all("label")}
        fields = {field["name"]: field for field in page.all("input")}
        self.assertLessEqual(
            {fields["username"]["id"], fields["password"]["id"]}, labels
        )
        self.assertEqual(fields["username"]["autocomplete"], "username")
        self.assertEqual(fields["password"]["autocomplete"], "current-password")
        self.assertEqual(fields["password"]["type"], "password")
        self.assertEqual(fields["remember"]["type"], "checkbox")
        self.assertNotIn("checked", fields["remember"])
        self.assertEqual(page.all("form"), [{"method": "post", "action": "/login"}])
        self.assertEqual((len(page.all("h1")), len(page.all("main"))), (1, 1))
        self.assertEqual(page.all("script"), [])
        self.assertEqual(page.all("link"), [])

    def test_errors(self):
        """
        What went wrong is said, before anything else and to those who cannot see it,
        and in the title.
        """
        self.assertEqual(Reader(loginPage(form())).all("p"), [])
        for error, message in MESSAGES.items():
            page = Reader(loginPage(form(error=error)))
            [said] = page.all("p")
            self.assertEqual(said["role"], "alert")
            self.assertIn(message, page.text)
            self.assertTrue(page.text.strip().startswith("Not signed in: Sign in"))
            described = [f.get("aria-describedby") for f in page.all("input")]
            self.assertEqual(described.count(said["id"]), 2)

    def test_focus(self):
        """
        The first field that is empty has the focus.
        """
        for name, focused in (("", "username"), ("ann", "password")):
            page = Reader(loginPage(form(username=name)))
            fields = [f["name"] for f in page.all("input") if "autofocus" in f]
            self.assertEqual(fields, [focused])

    @settings(deadline=None)
    @given(evil, evil, evil, evil)
    def test_escaped(self, action, token, returnTo, username):
        """
        Whatever is shown stays within its attribute.
        """
        plain = [tag for tag, _ in Reader(loginPage(form(error="wrong"))).found]
        page = Reader(
            loginPage(
                form(
                    action=action,
                    csrfToken=token,
                    returnTo=returnTo,
                    username=username,
                    error="wrong",
                )
            ).replace(b"\x00", b"\xef\xbf\xbd")
        )
        self.assertEqual([tag for tag, _ in page.found], plain)
        values = {field["name"]: field.get("value") for field in page.all("input")}
        for name, value in (
            ("csrf_token", token),
            ("next", returnTo),
            ("username", username),
        ):
            self.assertEqual(
                values[name], value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
            )
        allowed = {"id", "name", "type", "value", "required", "maxlength", "autofocus"}
        allowed |= {"autocomplete", "autocapitalize", "autocorrect", "spellcheck"}
        allowed |= {"aria-describedby"}
        for field in page.all("input"):
            self.assertLessEqual(field.keys(), allowed)

    def test_style(self):
        """
        The policy lets in the style that is there, and no other.
        """
        [style] = re.findall(rb"<style>(.*?)</style>", loginPage(form()), re.DOTALL)
        known = b64encode(hashlib.sha256(style).digest())
        self.assertIn(b"style-src 'sha256-%b'" % known, POLICY)
        self.assertIn(b"default-src 'none'", POLICY)
        self.assertIn(b"frame-ancestors 'none'", POLICY)
        self.assertNotIn(b" style=", loginPage(form(error="wrong", remembers=True)))

    def test_hidden(self):
        """
        What is shown hides in a log.
        """
        shown = repr(form(csrfToken="abc", username="annabel"))
        self.assertNotIn("abc", shown)
        self.assertNotIn("annabel", shown)


class LogoutPageTests(SynchronousTestCase):
    """
    The page to sign out.
    """

    def test_button(self):
        """
        It is a form with a button.
        """
        page = Reader(logoutPage('/"/logout', 'to"ken'))
        self.assertEqual(page.open, [])
        self.assertEqual(page.all("form"), [{"method": "post", "action": '/"/logout'}])
        [field] = page.all("input")
        self.assertEqual((field["name"], field["value"]), ("csrf_token", 'to"ken'))
        self.assertEqual(len(page.all("button")), 1)
