"""
C{examples/login.py} in real browsers without JavaScript, across C{kill -9}.
"""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from tests._serving import Example, freePort, waitFor
from tests.test_demo_browser import startBrowser
from tests.test_login import loadExample

PASSWORDS = loadExample().USERS

MONTH = 30 * 24 * 3600


class User:
    """
    Somebody with a browser.
    """

    def __init__(self, case, port):
        self._home = f"http://localhost:{port}"
        self.browser = startBrowser(case)

    def visit(self, path="/"):
        """
        Go to a page.
        """
        self.browser.get(self._home + path)

    @property
    def path(self):
        """
        Where the browser is.
        """
        return self.browser.current_url.removeprefix(self._home)

    def find(self, selector):
        """
        Find all elements of a kind.
        """
        return self.browser.find_elements("css selector", selector)

    @property
    def who(self):
        """
        Who is signed in, as the page has it.
        """
        return next((each.text for each in self.find("#signed-in")), None)

    @property
    def devices(self):
        """
        The lines of the page of devices.
        """
        return [each.text for each in self.find("li")]

    def press(self, selector):
        """
        Press a button, and wait for the page that comes then.
        """

        def page():
            return {each.id for each in self.find("main")}

        before = page()
        (button,) = self.find(selector)
        button.click()
        waitFor(lambda: page() - before, "the next page")

    def fill(self, field, text):
        """
        Fill in a field.
        """
        (found,) = self.find(f"[name={field}]")
        found.clear()
        found.send_keys(text)

    def signIn(self, name="ann", password=None, remember=False):
        """
        Fill in the form to sign in, and send it.
        """
        self.fill("username", name)
        self.fill("password", password or PASSWORDS[name])
        if remember:
            self.find("[name=remember]")[0].click()
        self.press("main button")

    @property
    def cookie(self):
        """
        The session cookie.
        """
        return self.browser.get_cookie("sid")


class LoginBrowserTests(SynchronousTestCase):
    """
    People who sign in.
    """

    def setUp(self):
        """
        Start the program.
        """
        self.port = freePort()
        self.server = Example(self, "login.py", self.port)
        self.server.start()

    def user(self):
        """
        Start a browser.
        """
        return User(self, self.port)

    def assertQuiet(self, *users):
        """
        The browsers had nothing to complain about but pages that were refused, and no
        id was told to anybody.
        """
        for user in users:
            log = user.browser.get_log("browser")
            told = [each for each in log if "status of 403" not in each["message"]]
            self.assertEqual(told, [])
            self.assertNotIn(user.cookie["value"], self.server.output + self.server.log)

    def test_signIn(self):
        """
        Who wants a page is led to the login, told of a wrong password, and led back;
        the session is there after C{kill -9}, and not after signing out.
        """
        ann = self.user()
        ann.visit("/devices")
        self.assertEqual(ann.path, "/login?next=/devices")
        before = ann.cookie
        ann.signIn(password="wrong")
        (error,) = ann.find("[role=alert]")
        self.assertIn("do not go together", error.text)
        self.assertEqual(ann.find("[name=username]")[0].get_attribute("value"), "ann")
        ann.signIn()
        self.assertEqual((ann.path, ann.who), ("/devices", "ann"))
        self.assertNotEqual(ann.cookie["value"], before["value"])
        self.assertNotIn("expiry", ann.cookie)
        self.assertTrue(ann.cookie["httpOnly"])

        self.server.kill()
        self.server.start()
        ann.visit()
        self.assertEqual(ann.who, "ann")
        self.assertQuiet(ann)
        ann.press("#sign-out")
        self.assertEqual(ann.path, "/login")
        ann.visit("/devices")
        self.assertIsNone(ann.who)

    def test_remember(self):
        """
        Who stays signed in has a cookie for a month; so after C{kill -9}.
        """
        ann = self.user()
        ann.visit()
        ann.signIn(remember=True)
        cookie = ann.cookie
        self.assertLess(abs(cookie["expiry"] - time.time() - MONTH), 600)
        self.server.kill()
        self.server.start()
        ann.visit()
        self.assertEqual((ann.who, ann.cookie), ("ann", cookie))

    def test_devices(self):
        """
        Two browsers of one user see each other; one signs the other out, by itself and
        with all others, and everywhere.
        """
        one, two = self.user(), self.user()
        one.visit()
        one.signIn()
        for button in (".device button", "#others", "#everywhere"):
            two.visit("/devices")
            two.signIn()
            self.assertEqual(two.path, "/devices")
            self.assertEqual(len(two.devices), 2)
            self.assertIn("Chrome on Linux", two.devices[0])
            self.assertEqual(
                ["this one" in each for each in two.devices], [True, False]
            )
            one.visit("/devices")
            self.assertEqual(
                ["this one" in each for each in one.devices], [True, False]
            )
            one.press(button)
            two.visit("/devices")
            self.assertIsNone(two.who)
            if button != "#everywhere":
                self.assertEqual((one.path, one.who), ("/devices", "ann"))
                self.assertIn("signed out.", one.find(".said")[0].text)
                self.assertEqual(len(one.devices), 1)
        self.assertEqual((one.path, one.who), ("/login", None))

    def test_password(self):
        """
        A new password signs the others out, and is asked for from then on.
        """
        one, two = self.user(), self.user()
        for user in (one, two):
            user.visit("/password")
            user.signIn()
        one.fill("new", "another-password")
        one.press("#change")
        self.assertEqual((one.path, one.who), ("/", "ann"))
        two.visit()
        two.signIn()
        self.assertTrue(two.find("[role=alert]"))
        two.signIn(password="another-password")
        self.assertEqual(two.who, "ann")

    def test_looks(self):
        """
        Nothing sticks out on a phone, the style sheet applies, dark is dark, and each
        field and page has a name.
        """
        ann = self.user()
        command = ann.browser.execute_cdp_cmd
        phone = {"width": 320, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        command("Emulation.setDeviceMetricsOverride", phone)
        command("Emulation.setScriptExecutionDisabled", {"value": False})
        ann.visit("/login")
        ann.signIn()
        brightness = []
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            command("Emulation.setEmulatedMedia", {"features": [feature]})
            for path in ("/", "/devices", "/password", "/login"):
                ann.visit(path)
                run = ann.browser.execute_script
                width = run("return document.documentElement.scrollWidth")
                self.assertEqual((path, width), (path, 320))
                self.assertTrue(ann.browser.title)
                for field in ann.find("input:not([type=hidden])"):
                    self.assertTrue(field.accessible_name, path)
                for button in ann.find("button"):
                    self.assertGreaterEqual(button.size["height"], 44, path)
            ann.visit()
            ground = run("return getComputedStyle(document.body).backgroundColor")
            brightness.append(sum(map(int, ground[4:-1].split(","))))
        self.assertGreater(brightness[0], 600)
        self.assertLess(brightness[1], 150)
