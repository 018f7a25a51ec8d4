"""
Requests as hostile as one likes, byte by byte, and what is answered.

Owns sockets, and the reading of answers.  Nothing here mends what it is told to send
or refuses to read what came back.  Knows nothing of who signs in.
"""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from attrs import field, frozen

PATIENCE = 20.0
"""Seconds after which a server that says nothing has failed."""

FORM = ("Content-Type", "application/x-www-form-urlencoded")
"""The header of a form's body."""


class Unusable(Exception):
    """
    The site cannot be attacked: it does not answer, or not as it was described.
    """


def asBytes(text):
    """
    Turn text into bytes as people mean it; bytes stay what they are.
    """
    return text if isinstance(text, bytes) else text.encode("utf-8")


@frozen
class SetCookie:
    """
    One C{Set-Cookie} header.

    @ivar attributes: By their names in lower case.
    """

    name: str
    value: str = field(repr=False)
    attributes: dict[str, str]

    @classmethod
    def parse(cls, header):
        """
        Read one as browsers do.
        """
        first, *rest = header.split(";")
        name, _, value = first.partition("=")
        pairs = [each.partition("=") for each in rest]
        return cls(
            name.strip(),
            value.strip(),
            {key.strip().lower(): said.strip() for key, _, said in pairs},
        )

    @property
    def deletes(self):
        """
        Whether a browser forgets the cookie by it.
        """
        return self.attributes.get("max-age") == "0" or not self.value


@frozen
class Answer:
    """
    What the server said.

    @ivar status: The status, or 0 if it hung up without one.
    @ivar headers: Names in lower case, and values.
    @ivar body: The body, as text.
    @ivar raw: Everything that came.
    """

    status: int
    headers: list[tuple[str, str]]
    body: str = field(repr=False)
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, raw):
        """
        Read an answer that is there to its end.  A line ends where any reader might
        see its end: a header that was smuggled in has to be found.
        """
        if not raw.startswith(b"HTTP/"):
            return cls(0, [], "", raw)
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = re.split(r"\r\n|\r|\n", head.decode("latin-1"))
        pairs = [line.partition(":") for line in lines if line]
        headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        if ("transfer-encoding", "chunked") in headers:
            body = _unchunked(body)
        words = first.split(None, 2)
        return cls(int(words[1]), headers, body.decode("utf-8", "replace"), raw)

    def all(self, name):
        """
        All values of a header.
        """
        return [value for each, value in self.headers if each == name.lower()]

    def first(self, name):
        """
        The first value of a header, or the empty string.
        """
        return next(iter(self.all(name)), "")

    @property
    def cookies(self):
        """
        The cookies that it sets.
        """
        return [SetCookie.parse(header) for header in self.all("Set-Cookie")]

    @property
    def refused(self):
        """
        Whether the server would have nothing to do with the request.
        """
        return self.status == 0 or 400 <= self.status < 500


def _unchunked(body):
    """
    Put a body together that came in pieces.
    """
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        whole += rest[:length]
        if not length:
            break
        body = rest[length + 2 :]
    return whole


@frozen
class Place:
    """
    Where a server listens.

    @ivar secure: Whether it speaks TLS.  Its certificate is not looked at.
    """

    secure: bool
    host: str
    port: int

    @classmethod
    def parse(cls, address):
        """
        Read C{http://HOST:PORT} or C{https://HOST:PORT}.

        @raise ValueError: It is something else.
        """
        parts = urlsplit(address)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        if usual is None or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(
                f"{address!r} is no address of a site, such as http://localhost:8080 "
                "or https://localhost:8443"
            )
        return cls(parts.scheme == "https", parts.hostname, parts.port or usual)

    @property
    def scheme(self):
        """
        How its addresses begin.
        """
        return "https" if self.secure else "http"

    @property
    def authority(self):
        """
        What a browser writes into C{Host}.
        """
        usual = 443 if self.secure else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def origin(self):
        """
        What a browser writes into C{Origin}.
        """
        return f"{self.scheme}://{self.authority}"

    def open(self):
        """
        Connect.

        @raise Unusable: Nobody listens.
        """
        try:
            line = socket.create_connection((self.host, self.port), PATIENCE)
            if self.secure:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                line = context.wrap_socket(line, server_hostname=self.host)
        except OSError as error:
            raise Unusable(f"{self.origin} does not answer: {error}") from error
        return Line(line)

    def write(self, path, method="GET", headers=(), body=None):
        """
        Write a request.

        @param headers: Names and values; C{Host} unless there is one.
        """
        body = None if body is None else asBytes(body)
        named = {asBytes(name).lower() for name, _ in headers}
        lines = [b"%s %s HTTP/1.1" % (asBytes(method), asBytes(path))]
        if b"host" not in named:
            lines.append(b"Host: " + self.authority.encode("idna"))
        lines += [b"%s: %s" % (asBytes(n), asBytes(v)) for n, v in headers]
        lines.append(b"Connection: close")
        if body is not None:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join([*lines, b"", body or b""])

    def ask(self, path, method="GET", headers=(), body=None):
        """
        Send a request on a connection of its own.

        @rtype: L{Answer}
        """
        line = self.open()
        line.send(self.write(path, method, headers, body))
        return line.answer()


class Line:
    """
    A connection that may be used piece by piece.
    """

    def __init__(self, line):
        """
        @param line: The socket.
        """
        self._line = line

    def send(self, data):
        """
        Send some bytes.  A server that does not want them all may hang up.
        """
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self._line.sendall(data)

    def answer(self):
        """
        Read to the end.

        @raise Unusable: The server says nothing.
        """
        pieces = []
        try:
            while piece := self._line.recv(65536):
                pieces.append(piece)
        except TimeoutError as error:
            raise Unusable(f"no answer within {PATIENCE:.0f} s") from error
        except (ConnectionResetError, ssl.SSLError):
            pass
        finally:
            self._line.close()
        return Answer.parse(b"".join(pieces))
