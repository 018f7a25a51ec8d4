"""
Forms and messages of a process behind another one.
"""

from __future__ import annotations

from tests.web.oracle import Page
from tests.web.pair import DistributedCase
from txsessions import CSRFProtected


def render(request):
    """
    Show a token and what waits, or leave a message.
    """
    session = request.getSession()
    if request.method == b"POST":
        session.flash("done")
        return b""
    said = " ".join(flash.text for flash in session.takeFlashes())
    return f"{session.csrfToken} {said}".encode("ascii")


class FormsTests(DistributedCase):
    """
    Our site and request in front and behind.
    """

    async def test_forms(self):
        """
        What the front receives is looked at behind as it came, and what is refused
        there is refused.
        """
        await self.serveBehind(CSRFProtected(Page(render)), store=self.address())
        self.serveInFront()
        token = (await self.fetch()).body.decode("ascii").strip()
        header = f"X-CSRF-Token: {token}"
        for headers, code in [
            ((), 403),
            ((header, "Sec-Fetch-Site: same-site"), 403),
            ((header, "Origin: http://evil.example"), 403),
            ((header,), 200),
        ]:
            answer = await self.fetch("/x", "POST", headers)
            self.assertEqual(answer.code, code, headers)
        self.assertTrue((await self.fetch()).body.endswith(b" done"))
        self.assertTrue((await self.fetch()).body.endswith(b" "))
