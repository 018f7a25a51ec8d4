"""
Tests for C{twistd web --sessions} as a process: what it serves, how it starts, what
it says, and what is left when it ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import HTTPSHandler, build_opener

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests._serving import Server, Visitor, freePort, makeFolder, waitFor

COUNT = """
    session = request.getSession()
    count = session.sessionNamespaces.get("count", 0) + 1
    session.sessionNamespaces["count"] = count
"""

APPLICATION = f"""
from twisted.web.resource import Resource

class Counter(Resource):
    def getChild(self, name, request):
        return self

    def render_GET(self, request):
        {COUNT.strip().replace(chr(10), chr(10) + "    ")}
        return b"%d" % count

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"from a WSGI application at ", environ["PATH_INFO"].encode()]
"""

RPY = """
from app import Counter
resource = Counter()
"""

EPY = f"""
{COUNT.replace("    ", "")}
request.write(b"%d" % count)
"""

CLASS = "--class=app.Counter"


def writeApplication(folder):
    """
    Write what can be served into a folder that is on the server's path.
    """
    (folder / "app.py").write_text(APPLICATION)
    site = folder / "site"
    site.mkdir()
    (site / "count.rpy").write_text(RPY)
    (site / "count.epy").write_text(EPY)
    (site / "hello.txt").write_text("hello")
    return folder


class ServingTests(SynchronousTestCase):
    """
    Twisted's own ways to say what to serve and where to listen.
    """

    def setUp(self):
        """
        Write an application.
        """
        self.folder = writeApplication(makeFolder(self))
        self.port = freePort()
        self.visitor = Visitor(self.port)

    def server(self, *arguments, **more):
        """
        Make a server that listens for C{self.visitor}.
        """
        listen = f"--listen=tcp:{self.port}:interface=127.0.0.1"
        return Server(self, listen, *arguments, folder=self.folder, **more)

    def test_path(self):
        """
        C{.rpy} and C{.epy} files have sessions that outlive C{kill -9}; what needs
        none gets none.
        """
        server = self.server("--sessions", "--path=site")
        server.start()
        self.assertEqual(self.visitor.get("/hello.txt").text, "hello")
        self.assertEqual(self.visitor.cookies, {})
        self.assertEqual(self.visitor.get("/count.rpy").text, "1")
        self.assertEqual(list(self.visitor.cookies), ["sid"])
        self.assertEqual(self.visitor.get("/count.epy").text, "2")
        server.kill()
        server.start()
        self.assertEqual(self.visitor.get("/count.rpy").text, "3")
        self.assertEqual(Visitor(self.port).get("/count.rpy").text, "1")

    def test_class(self):
        """
        C{--class}, under C{twist}, with options of ours and of Twisted's.
        """
        server = self.server(
            "--session-store=sqlite:here/some.db",
            "--session-cookie=visit",
            "--add-header=X-Tried: yes",
            "--logfile=web.log",
            CLASS,
            name="twist",
        )
        (self.folder / "here").mkdir(mode=0o700)
        server.start()
        answer = self.visitor.get()
        self.assertEqual(answer.text, "1")
        self.assertEqual(answer.headers["X-Tried"], "yes")
        self.assertEqual(self.visitor.get().text, "2")
        self.assertEqual(list(self.visitor.cookies), ["visit"])
        self.assertTrue((self.folder / "here" / "some.db").exists())
        server.kill(signal.SIGTERM)
        logged = (self.folder / "web.log").read_text()
        self.assertEqual(logged.count("GET / HTTP/1.1"), 2)
        self.assertNotIn(self.visitor.cookies["visit"], logged + server.output)

    def test_resourceScript(self):
        """
        C{--resource-script}.
        """
        self.server("--sessions", "--resource-script=site/count.rpy").start()
        self.assertEqual(self.visitor.get().text, "1")
        self.assertEqual(self.visitor.get().text, "2")

    def test_wsgi(self):
        """
        C{--wsgi}.
        """
        self.server("--sessions", "--wsgi=app.application").start()
        self.assertEqual(self.visitor.get("/a").text, "from a WSGI application at /a")

    def test_unix(self):
        """
        C{--listen unix:}, beside TCP.
        """
        server = self.server("--listen=unix:socket", "--sessions", CLASS)
        server.start()
        visitor = Visitor(self.folder / "socket")
        self.assertEqual(visitor.get().text, "1")
        self.visitor.cookies = visitor.cookies
        self.assertEqual(self.visitor.get().text, "2")

    def test_ssl(self):
        """
        C{--listen ssl:}: the cookie has its prefix and is C{Secure}.
        """
        try:
            import OpenSSL  # noqa: F401 - what Twisted's ssl needs
        except ImportError:
            raise SkipTest("pyOpenSSL is not installed") from None
        writeCertificate(self.folder)

        def fetch(*arguments):
            port = freePort()
            listen = f"ssl:{port}:privateKey=key.pem:certKey=cert.pem"
            self.server(f"--listen={listen}:interface=127.0.0.1", *arguments).start()
            trusting = ssl.create_default_context(cafile=self.folder / "cert.pem")
            browser = build_opener(HTTPSHandler(context=trusting))
            return browser.open(f"https://localhost:{port}/", timeout=10)

        try:
            fetch("--path=site").close()
        except URLError as error:
            raise SkipTest(f"Twisted and pyOpenSSL do not fit: {error}") from error
        self.port = freePort()
        with fetch("--sessions", CLASS) as answer:
            self.assertEqual(answer.read(), b"1")
            cookie = answer.headers["Set-Cookie"]
        self.assertRegex(
            cookie, "^__Host-sid=[0-9a-f]{64}; Path=/; Secure; HttpOnly; SameSite=Lax$"
        )

    def test_personal(self):
        """
        C{--personal} starts, and opens its store.
        """
        server = Server(
            self,
            "--personal",
            "--listen=unix:socket",
            "--sessions",
            CLASS,
            folder=self.folder,
        )
        server.start()
        waitFor(lambda: "sessions are kept in" in server.output, "the store")
        self.assertEqual(server.kill(signal.SIGTERM), -signal.SIGTERM)
        self.assertTrue((self.folder / "sessions.sqlite").exists())

    def test_wrongValue(self):
        """
        A wrong value is answered by one line, and an exit status that tells.
        """
        for name in ("twistd", "twist"):
            server = self.server("--sessions", "--session-timeout=soon", name=name)
            before = server.output if (self.folder / "output").exists() else ""
            self.assertEqual(server.run(), 1)
            self.assertEqual(
                server.output[len(before) :],
                "web: --session-timeout must be a number of seconds above zero, such "
                "as 900; found 'soon'\n",
            )


def writeCertificate(folder):
    """
    Write a key and a certificate for localhost.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


class ProcessTests(SynchronousTestCase):
    """
    How the process starts and ends.
    """

    def setUp(self):
        """
        Write an application.
        """
        self.folder = writeApplication(makeFolder(self))
        self.port = freePort()
        self.listen = f"--listen=tcp:{self.port}:interface=127.0.0.1"

    def test_startLog(self):
        """
        At start the log says what sessions are, and where their keys are.
        """
        server = Server(self, self.listen, "--sessions", CLASS, folder=self.folder)
        server.start()
        waitFor(lambda: "sessions are kept in" in server.output, "the log")
        self.assertIn(
            f"sessions are kept in sqlite:{self.folder}/sessions.sqlite: every commit",
            server.output,
        )
        (said,) = (s for s in server.output.splitlines() if "their cookie is" in s)
        self.assertIn("900 s unused and after 43200 s at the latest", said)
        self.assertIn("__Host-sid over TLS and sid else, SameSite=Lax", said)
        keys = said.split("seal them are in ")[1]
        self.assertTrue(os.path.isfile(keys), keys)
        self.assertEqual(stat.S_IMODE(os.stat(keys).st_mode), 0o600)

    def test_runDirectory(self):
        """
        The store is in the run directory, and not where C{twistd} was called.
        """
        (self.folder / "run").mkdir(mode=0o700)
        server = Server(
            self,
            self.listen,
            "--sessions",
            CLASS,
            folder=self.folder,
            options=["-n", "--pidfile=", "--rundir=run"],
        )
        server.start()
        self.assertEqual(Visitor(self.port).get().text, "1")
        self.assertTrue((self.folder / "run" / "sessions.sqlite").exists())
        self.assertEqual(list(self.folder.glob("*.sqlite*")), [])

    def test_daemon(self):
        """
        As a daemon it opens the store after the forks, and on SIGTERM it leaves
        nothing unsaved and nothing open.
        """
        server = Server(
            self,
            self.listen,
            "--sessions",
            CLASS,
            folder=self.folder,
            options=["--pidfile=pid", "--logfile=log"],
        )
        visitor = Visitor(self.port)
        for expected in ("1", "2"):
            self.assertEqual(server.run(), 0)
            pid = int((self.folder / "pid").read_text())
            self.addCleanup(killIfThere, pid)
            self.assertNotEqual(pid, server.process.pid)
            self.assertEqual(visitor.get().text, expected)
            self.assertIn(str(self.folder / "sessions.sqlite"), openFiles(pid))
            os.kill(pid, signal.SIGTERM)
            waitFor(partial(isGone, pid), "the daemon's end")
            self.assertFalse((self.folder / "pid").exists())
        said = (self.folder / "log").read_text()
        self.assertEqual(said.count("sessions are kept in"), 2)
        self.assertNotIn("Traceback", said)

    def test_privileges(self):
        """
        The store is opened with the rights that remain, so that its files belong
        to whom they are used by.
        """
        if os.getuid() != 0:
            raise SkipTest("only root has privileges to drop")
        nobody = pwd.getpwnam("nobody")
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        server = Server(
            self,
            self.listen,
            "--sessions",
            CLASS,
            folder=self.folder,
            options=[
                "-n",
                "--pidfile=",
                f"--uid={nobody.pw_uid}",
                f"--gid={nobody.pw_gid}",
            ],
        )
        server.start()
        self.assertEqual(Visitor(self.port).get().text, "1")
        owners = {p.name: p.stat().st_uid for p in self.folder.glob("sessions*")}
        self.assertEqual(set(owners.values()), {nobody.pw_uid}, owners)

    def test_terminated(self):
        """
        What was answered before and while SIGTERM ended the process is there
        afterwards, also where power loss is not guarded against.
        """
        server = Server(
            self,
            self.listen,
            "--sessions",
            "--session-durability=normal",
            CLASS,
            folder=self.folder,
        )
        server.start()

        def visit(visitor):
            answered = 0
            while True:
                try:
                    answered = int(visitor.get().text)
                except (OSError, HTTPException, ValueError):
                    return answered

        visitors = [Visitor(self.port) for _ in range(4)]
        with ThreadPoolExecutor(len(visitors)) as threads:
            visits = [threads.submit(visit, visitor) for visitor in visitors]
            waitFor(
                lambda: all(visitor.cookies for visitor in visitors),
                "all visitors to be known",
            )
            self.assertEqual(server.kill(signal.SIGTERM), -signal.SIGTERM)
            answered = [visit.result() for visit in visits]
        server.start()
        for visitor, count in zip(visitors, answered, strict=True):
            self.assertGreater(count, 0)
            # The last request may have been saved and not been answered.
            self.assertIn(int(visitor.get().text), {count + 1, count + 2})
        self.assertNotIn("Traceback", server.output)


def isGone(pid):
    """
    Tell whether a process has ended.
    """
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def openFiles(pid):
    """
    List what a process has open.
    """
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def killIfThere(pid):
    """
    End a process that a failed test has left.
    """
    if not isGone(pid):
        os.kill(pid, signal.SIGKILL)
