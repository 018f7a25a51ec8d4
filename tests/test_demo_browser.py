"""
Tests for the demonstration page in a real browser, across C{kill -9} of the server.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import contextmanager

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests._serving import Server, freePort, makeFolder, waitFor

NAME = 'Ada <b>&"Lovelace"'

CHROMIUM = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


RESTING = []
"""Browsers that no test uses: to start one takes longer than most of these tests."""


def startBrowser(case):
    """
    Have Chromium without JavaScript, as if it had just been started.
    """
    if not RESTING:
        RESTING.append(_launch())
    browser = RESTING.pop()
    _forget(browser)
    case.addCleanup(RESTING.append, browser)
    return browser


def _forget(browser):
    """
    Take from a browser what is of its last user: its pages, with all that was set for
    them, its cookies and what it kept of what it has seen.
    """
    (old,) = browser.window_handles
    browser.switch_to.new_window("tab")
    new = browser.current_window_handle
    browser.switch_to.window(old)
    browser.close()
    browser.switch_to.window(new)
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    browser.get_log("browser")


def _launch():
    """
    Start a browser, which ends with this process.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise SkipTest(
            "chromium and chromedriver are not installed: apt-get install "
            "chromium chromium-driver"
        )
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = chromium
    profile = tempfile.mkdtemp(prefix="txs-")
    atexit.register(shutil.rmtree, profile, ignore_errors=True)
    for argument in [*CHROMIUM, f"--user-data-dir={profile}"]:
        options.add_argument(argument)
    options.add_experimental_option(
        "prefs", {"profile.managed_default_content_settings.javascript": 2}
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with unproxied():
        browser = Chrome(options=options, service=Service(driver))
    atexit.register(browser.quit)
    return browser


@contextmanager
def unproxied():
    """
    Keep the driver's own requests, which go to this machine, off any proxy.
    """
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "localhost,127.0.0.1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before


class BrowserTests(SynchronousTestCase):
    """
    A visitor of C{twistd web --sessions}.
    """

    def setUp(self):
        """
        Start the server and the browser.
        """
        self.uids = set()
        self.browser = startBrowser(self)
        self.port = freePort()
        self.server = Server(
            self, "--sessions", f"--listen=tcp:{self.port}:interface=127.0.0.1"
        )
        self.server.start()

    def visit(self):
        """
        Go to the page.
        """
        self.browser.get(f"http://localhost:{self.port}/")

    def find(self, name):
        """
        Find an element by its id.
        """
        return self.browser.find_element("id", name)

    def there(self, name):
        """
        Tell whether there is an element of this id.
        """
        return bool(self.browser.find_elements("id", name))

    def fill(self, field, text, button):
        """
        Fill in a form and send it off.
        """
        self.find(field).clear()
        self.find(field).send_keys(text)
        self.press(button)

    def press(self, button):
        """
        Press a button, and wait for the page that comes then.
        """

        def page():
            return {e.id for e in self.browser.find_elements("css selector", "main")}

        before = page()
        self.find(button).click()
        waitFor(lambda: page() - before, "the next page")

    def crash(self):
        """
        C{kill -9} the server and start it again.
        """
        self.server.kill()
        self.server.start()

    def cookie(self):
        """
        Look at the session cookie.
        """
        cookie = self.browser.get_cookie("sid")
        if cookie is not None:
            self.uids.add(cookie["value"])
        return cookie

    def useCookie(self, cookie):
        """
        Have the browser send this cookie and no other.
        """
        self.browser.delete_all_cookies()
        self.browser.add_cookie({"name": "sid", "value": cookie["value"]})

    def assertQuiet(self):
        """
        The browser had nothing to complain about, such as the content security
        policy, and no id of a session was ever told to anybody else.
        """
        self.assertEqual(self.browser.get_log("browser"), [])
        for uid in self.uids:
            self.assertNotIn(uid, self.server.output)

    def test_crashes(self):
        """
        Count, name and sign-in survive C{kill -9} of the server.
        """
        self.visit()
        self.assertEqual(self.find("visits").text, "1")
        cookie = self.cookie()
        self.assertTrue(cookie["httpOnly"])
        self.assertEqual(cookie["sameSite"], "Lax")
        self.fill("name", NAME, "keep")
        self.assertEqual(self.find("visits").text, "2")

        self.crash()
        self.visit()
        self.assertEqual(self.find("hello").text, f"Hello, {NAME}.")
        self.assertEqual(self.find("name").get_attribute("value"), NAME)
        self.assertEqual(self.find("visits").text, "3")
        self.fill("user", "ada", "sign-in")
        self.assertEqual(self.find("visits").text, "4")
        signedIn = self.cookie()

        self.crash()
        self.visit()
        self.assertEqual(self.find("signed-in").text, "ada")
        self.assertEqual(self.find("hello").text, f"Hello, {NAME}.")
        self.assertEqual(self.find("visits").text, "5")
        self.assertEqual(self.cookie(), signedIn)
        self.assertQuiet()

    def test_signInAndOut(self):
        """
        Signing in changes the id, and the old one is refused; signing out ends
        the session, also across a crash.
        """
        self.visit()
        self.fill("name", NAME, "keep")
        anonymous, anonymousTag = self.cookie(), self.find("tag").text
        self.fill("user", "ada", "sign-in")
        signedIn = self.cookie()
        self.assertNotEqual(signedIn["value"], anonymous["value"])
        self.assertEqual(self.find("signed-in").text, "ada")
        self.assertNotEqual(self.find("tag").text, anonymousTag)
        for shown, expected in [
            (anonymousTag, True),
            (self.find("tag").text, True),
            (anonymous["value"], False),
            (signedIn["value"], False),
        ]:
            self.assertEqual(shown in self.browser.page_source, expected)

        self.useCookie(anonymous)
        self.visit()
        self.assertFalse(self.there("signed-in"), "the old id is refused")

        self.useCookie(signedIn)
        self.visit()
        self.press("sign-out")
        self.assertIsNone(self.cookie())
        for _ in range(2):
            self.useCookie(signedIn)
            self.visit()
            self.assertFalse(self.there("signed-in"), "the session has ended")
            self.assertEqual(self.find("visits").text, "1")
            self.assertEqual(self.find("hello").text, "Hello, visitor.")
            self.crash()
        self.assertQuiet()

    def test_elsewhere(self):
        """
        A form on another host is refused, by what the browser says of it: even where
        the cookie comes along, and the visitor's own token is in it.
        """
        self.visit()
        self.fill("name", NAME, "keep")
        field = self.browser.find_element("css selector", "input[name=csrf_token]")
        token = field.get_attribute("value")
        port, folder = freePort(), makeFolder(self)
        (folder / "form.html").write_text(
            f"""<main><form method="post" action="http://localhost:{self.port}/name">
            <input name="csrf_token" value="{token}"><input name="name" value="Eve">
            <button id="send">Win</button></form></main>"""
        )
        Server(
            self, f"--path={folder}", f"--listen=tcp:{port}:interface=127.0.0.1"
        ).start()
        # Ports make no other site, so that the first one has the cookie sent.
        for host in ("localhost", "127.0.0.1"):
            self.browser.get(f"http://{host}:{port}/form.html")
            self.press("send")
            self.assertIn("Nothing has been changed", self.browser.page_source)
        self.visit()
        self.assertEqual(self.find("hello").text, f"Hello, {NAME}.")

    def test_looks(self):
        """
        Nothing sticks out on a phone, the style sheet applies, and dark is dark.
        """
        command = self.browser.execute_cdp_cmd
        phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        command("Emulation.setDeviceMetricsOverride", phone)
        command("Emulation.setScriptExecutionDisabled", {"value": False})
        brightness = []
        for scheme in ("light", "dark"):
            command(
                "Emulation.setEmulatedMedia",
                {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
            )
            self.visit()
            self.fill("name", "x" * 60, "keep")
            width = self.browser.execute_script(
                "return document.documentElement.scrollWidth"
            )
            self.assertEqual(width, 360)
            ground = self.browser.execute_script(
                "return getComputedStyle(document.body).backgroundColor"
            )
            brightness.append(sum(map(int, ground[4:-1].split(","))))
            fields = self.browser.find_elements("css selector", "input[type=text]")
            for field in fields:
                name = field.get_attribute("id")
                label = f"label[for={name}]"
                self.assertTrue(self.browser.find_element("css selector", label).text)
        light, dark = brightness
        self.assertGreater(light, 600)
        self.assertLess(dark, 150)
