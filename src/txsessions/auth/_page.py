"""
The pages that are shown if the application has none of its own: to sign in, and to sign
out.

Owns their HTML, and that everything in it is escaped.  They need no script and no other
file.  Knows no request and no session.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from typing import Final

from txsessions.auth._form import FIELD, NAME, PASSWORD, REMEMBER, RETURN, LoginForm

_STYLE: Final = """
:root { color-scheme: light dark; --ground: #f4f3ee; --card: #fff; --edge: #8a867b;
  --ink: #1c2427; --accent: #0f766e; --deep: #0b5c56; --on: #fff;
  --bad: #a11d1d; --bad-ground: #fdeceb; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #101516; --card: #181f21; --edge: #728085; --ink: #e8eeee;
    --accent: #4fd1bf; --deep: #7fe0d2; --on: #06201d;
    --bad: #ffb4ad; --bad-ground: #3a1b1a; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--ground); color: var(--ink);
  font: 1.0625rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "DejaVu Sans", sans-serif; }
main { width: 100%; max-width: 24rem; padding: clamp(1.25rem, 6vw, 2.25rem);
  border-radius: 1rem; background: var(--card);
  box-shadow: 0 1px 2px rgb(0 0 0 / 8%), 0 8px 24px rgb(0 0 0 / 8%); }
h1 { margin: 0 0 1.25rem; font-size: 1.6rem; line-height: 1.2; letter-spacing: -0.01em; }
p { margin: 0 0 1.25rem; }
.error { padding: 0.75rem 0.9rem; border-left: 4px solid var(--bad);
  border-radius: 0.35rem; background: var(--bad-ground); color: var(--bad); }
label { display: block; margin-bottom: 0.3rem; font-weight: 600; }
input:not([type="checkbox"]) { width: 100%; min-height: 2.9rem; margin-bottom: 1.1rem;
  padding: 0.5rem 0.75rem; border: 1px solid var(--edge); border-radius: 0.5rem;
  background: var(--card); color: inherit; font: inherit; }
.check { display: flex; align-items: center; gap: 0.65rem; min-height: 2.75rem;
  margin-bottom: 0.9rem; font-weight: 400; }
.check input { width: 1.3rem; height: 1.3rem; margin: 0; accent-color: var(--accent); }
button { width: 100%; min-height: 3rem; border: 0; border-radius: 0.5rem;
  background: var(--accent); color: var(--on); font: inherit; font-weight: 600;
  cursor: pointer; }
button:hover { background: var(--deep); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""

_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode("utf-8")).digest())

# No form-action: browsers apply it to where the answer redirects to as well, and on
# from there, which is the application's business.
POLICY: Final = (
    b"default-src 'none'; style-src 'sha256-%b'; base-uri 'none'; "
    b"frame-ancestors 'none'" % _HASH
)
"""The C{Content-Security-Policy} of these pages: nothing but the style that they bring."""

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
{body}
</main>
</body>
</html>
"""

_ERROR: Final = """<p class="error" id="error" role="alert">{text}</p>
"""

_LOGIN: Final = """{error}<form method="post" action="{action}">
<input type="hidden" name="{tokenField}" value="{token}">
<input type="hidden" name="{returnField}" value="{returnTo}">
<label for="username">Name</label>
<input id="username" name="{nameField}" type="text" value="{username}" required
 maxlength="256" autocomplete="username" autocapitalize="none" autocorrect="off"
 spellcheck="false"{nameExtra}>
<label for="password">Password</label>
<input id="password" name="{passwordField}" type="password" required maxlength="1024"
 autocomplete="current-password"{passwordExtra}>
{check}<button>Sign in</button>
</form>"""

_CHECK: Final = """<label class="check"><input type="checkbox" name="{name}" value="yes">
Stay signed in on this device</label>
"""

_LOGOUT: Final = """<p>This ends your session on this device.</p>
<form method="post" action="{action}">
<input type="hidden" name="{tokenField}" value="{token}">
<button>Sign out</button>
</form>"""


def loginPage(form: LoginForm) -> bytes:
    """
    The page to sign in.
    """
    message = form.message
    described = ' aria-describedby="error"' if message else ""
    first, second = ("", " autofocus") if form.username else (" autofocus", "")
    body = _LOGIN.format(
        error=_ERROR.format(text=escape(message)) if message else "",
        action=escape(form.action),
        tokenField=FIELD,
        token=escape(form.csrfToken),
        returnField=RETURN,
        returnTo=escape(form.returnTo),
        nameField=NAME,
        username=escape(form.username),
        nameExtra=described + first,
        passwordField=PASSWORD,
        passwordExtra=described + second,
        check=_CHECK.format(name=REMEMBER) if form.remembers else "",
    )
    return _whole("Sign in", body, "Not signed in: " if message else "")


def logoutPage(action: str, csrfToken: str) -> bytes:
    """
    The page to sign out.

    @param action: The path that the form is posted to.
    """
    body = _LOGOUT.format(
        action=escape(action), tokenField=FIELD, token=escape(csrfToken)
    )
    return _whole("Sign out", body)


def _whole(heading: str, body: str, before: str = "") -> bytes:
    """
    A page around its body.
    """
    return _PAGE.format(
        title=before + heading, style=_STYLE, heading=heading, body=body
    ).encode("utf-8")


__all__ = ["POLICY", "loginPage", "logoutPage"]
