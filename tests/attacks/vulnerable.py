"""
A site that does wrong whatever can be done wrong, to see that each attack can succeed.

Owns its sessions, which are dicts by id in memory, as many servers have begun.  Every
fault that it has is one that some server had.  It must never listen but for a test.
"""

from __future__ import annotations

import re
import secrets
import ssl
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote

from tests.attacks.target import Devices, Form, Target

VULNERABLE = Target(
    home="/",
    shown=r"<p>You are ([^<]+)</p>",
    login="/login",
    signIn="/login",
    user="user",
    password="password",
    people={"ann": "one", "bob": "two"},
    signOut="/logout",
    back="next",
    remember="remember",
    pages=["/", "/login", "/devices", "/nowhere"],
    forms=[Form(action="/note", fields={"note": "PROBE"})],
    devices=Devices(page="/devices", action="/devices", field="handle"),
)
"""What an attacker knows of it."""


class Memory:
    """
    What it remembers.

    @ivar sessions: Dicts by id.
    @ivar ended: Ids that are refused once.
    @ivar log: The file into which all that comes and goes is written.
    """

    def __init__(self, log):
        self.sessions = {}
        self.ended = set()
        self.log = log
        with open(log, "a"):
            pass


class Page(BaseHTTPRequestHandler):
    """
    One request.
    """

    memory: Memory
    timeout = 20

    def log_message(self, *arguments):
        """
        The log is C{Memory.log}.
        """

    def do_GET(self):
        """
        Answer, or show what went wrong.
        """
        try:
            self.answer()
        except Exception:
            self.say(500, f"<pre>{traceback.format_exc()}</pre>")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def answer(self):
        """
        Answer.
        """
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = parse_qs(query)
        said.update(parse_qs(body.decode(), errors="strict"))
        self.said = {name: values[-1] for name, values in said.items()}
        self.find()
        with open(self.memory.log, "a") as log:
            print(self.raw_requestline, self.uid, self.said, file=log)
        page = {
            "/": self.home,
            "/login": self.login,
            "/logout": self.logout,
            "/note": self.note,
            "/devices": self.devices,
        }.get(path)
        if page is not None:
            page()
        elif self.path.endswith("/"):
            self.say(404, f"There is no {unquote(self.path)}")
        else:
            self.lead(self.path + "/")

    def find(self):
        """
        Find the session by whatever looks like its id, and make it if there is none.
        """
        found = None
        cookies = self.headers.get_all("Cookie", []) + self.headers.get_all(
            "Set-Cookie", []
        )
        for pair in re.split("[;,]", ";".join([*cookies, self.path.partition(";")[2]])):
            if pair.strip() and "=" not in pair and ":" not in pair:
                raise ValueError(f"what is {pair!r}?")
            name, _, value = unquote(pair).replace(":", "=").partition("=")
            name = re.sub(r"[^a-z_-]", "", name.lower()) or value.partition("=")[0]
            if name in {"sid", "__host-sid"} or name.endswith("sessionid"):
                found = re.sub(r"[^0-9A-Za-z;]", "", value.rpartition("=")[2].lower())
        for name in ("Authorization", "X-Session"):
            found = (self.headers.get(name) or "").split(" ")[-1] or found
        found = self.said.get("sid") or self.said.get("__Host-sid") or found
        self.uid = found or secrets.token_hex(32)
        self.session = self.memory.sessions.setdefault(self.uid[:64], {})
        if self.uid in self.memory.ended:
            # Forgotten here, but not where it is kept.
            self.memory.ended.discard(self.uid)
            self.session = {}

    @property
    def user(self):
        """
        Who is signed in.
        """
        return self.session.get("user")

    def home(self):
        """
        Say who it is.
        """
        who = f"You are {self.user}" if self.user else "Who are you?"
        note = self.session.get("note", "")
        self.say(200, f"<p>{who}</p><p>{note}</p>{self.form('/logout')}")

    def form(self, action):
        """
        A form with a token that nobody looks at.
        """
        host = self.headers.get("X-Forwarded-Host") or self.headers.get("Host")
        return (
            f'<form method="post" action="http://{host}{action}">'
            f'<input type="hidden" name="token" value="{self.uid}">'
        )

    def login(self):
        """
        Sign in, by any method.
        """
        user, back = self.said.get("user"), self.said.get("next", "")
        right = VULNERABLE.people.get(user)
        if user and right == self.said.get("password"):
            self.session["user"] = user
            self.lead(back or f"http://www.{self.headers.get('Host')}/")
            return
        wrong = "a wrong password" if right else f"no user {user}"
        field = f'<input type="hidden" name="next" value="{back}">'
        self.say(200, f"<p>{wrong}</p>{self.form('/login')}{field}")

    def logout(self):
        """
        Forget who it was, here and in nothing else.
        """
        self.uid = secrets.token_hex(32)
        self.lead(self.said.get("next", "/"))

    def note(self):
        """
        Keep a text.
        """
        self.session["note"] = self.said.get("note", "")
        self.lead("/")

    def devices(self):
        """
        List the sessions of whoever is named, and end any.
        """
        if "handle" in self.said:
            self.memory.ended.add(self.said["handle"])
            self.lead("/devices")
            return
        user = self.said.get("user") or self.user
        rows = [
            f'<button name="handle" value="{uid}">End</button>'
            for uid, session in list(self.memory.sessions.items())
            if session.get("user") == user
        ]
        self.say(200, self.form("/devices") + "".join(rows))

    def lead(self, where):
        """
        Redirect.
        """
        self.say(302, "", f"Location: {where}\r\n")

    def say(self, status, text, more=""):
        """
        Send an answer.
        """
        cookies = f"Set-Cookie: {self.cookie}={getattr(self, 'uid', '')}\r\n" * 2
        head = f"HTTP/1.1 {status} Well\r\n{more}{cookies}\r\n"
        self.wfile.write((head + text).encode("utf-8", "surrogatepass"))


def serve(case, folder, certificate=None):
    """
    Start it, for the time of a test.

    @param certificate: The files of a certificate and its key: then it listens a second
        time, by TLS.
    @return: Its addresses.
    """
    memory = Memory(f"{folder}/log")
    addresses = []
    for secure in (False, True) if certificate else (False,):
        name = VULNERABLE.cookieName(secure)
        page = type("Page", (Page,), {"memory": memory, "cookie": name})
        server = ThreadingHTTPServer(("127.0.0.1", 0), page)
        server.daemon_threads = True
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        case.addCleanup(thread.join)
        case.addCleanup(server.server_close)
        case.addCleanup(server.shutdown)
        scheme = "https" if secure else "http"
        addresses.append(f"{scheme}://127.0.0.1:{server.server_address[1]}")
    return addresses
