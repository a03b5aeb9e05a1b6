"""Who may ask: the page itself and programs on this machine, but no other website open in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names under which a browser reaches this machine. Any other name may be one that a website has pointed
here (DNS rebinding), whose scripts would then pass for ours."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of every answer: nothing comes from elsewhere, nothing can be embedded elsewhere, nothing is kept."""


def refusal(path: str, headers: Mapping[str, str]) -> str:
    """Why a request must not be answered, or an empty string.

    Browsers say truthfully where a request comes from (``Host``, ``Origin``, ``Sec-Fetch-Site``); a website
    cannot change it. Programs such as curl leave the last two out.
    """
    host = headers.get("Host", "")
    try:
        known = urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError:
        known = False
    if not known:
        return f"this is no address of mio: '{host}'"
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return f"another website asked: {origin}"
    # A link from elsewhere may lead to the page, but to nothing else.
    if path != "/" and headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return "another website asked"
    return ""
