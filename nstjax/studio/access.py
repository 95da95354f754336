"""Who may talk to the server: this page alone, and with a token from elsewhere."""

import contextlib
import hmac
import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")
COOKIE = "nstjax_token"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; media-src 'self'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Access:
    """Turns away requests that are not the page's own.

    The Host header must be ours: another name that somebody has made lead here (DNS
    rebinding) is refused. Where there is a token, any IP address will do, too: a
    machine may have several, and no DNS server can make one lead here. A request that
    comes from another site's page is refused by its Origin or Sec-Fetch-Site. A token
    must come in the page's address the first time, and in a cookie from then on.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], token: str | None):
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application do it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        why = self._why_not(headers)
        if why:
            await PlainTextResponse(why, 403)(scope, receive, send_guarded)
        elif self._token is None or self._has_cookie(headers):
            await self._app(scope, receive, send_guarded)
        elif self._has_token(scope["query_string"].decode("latin-1")):
            welcome = RedirectResponse("/", 303)
            welcome.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            await welcome(scope, receive, send_guarded)
        else:
            text = "open the address that nstjax-studio printed, with its token"
            await PlainTextResponse(text, 401)(scope, receive, send_guarded)

    def _why_not(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if host not in self._hosts and not (self._token and _is_address(host)):
            return f"{host[:100]} is not this server's name"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "another site's page may not use this server"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "another site's page may not use this server"
        return None

    def _has_cookie(self, headers: Headers) -> bool:
        given = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return self._is_token(given)

    def _has_token(self, query: str) -> bool:
        return query.startswith("token=") and self._is_token(
            query.removeprefix("token=")
        )

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode(), self._token.encode())


def own_hosts(host: str, port: int) -> frozenset[str]:
    """The Host headers that lead to a server."""
    names = {host}
    if host in (*LOOPBACK, *EVERYWHERE):
        names |= {*LOOPBACK}
    if host in EVERYWHERE:
        own = socket.gethostname().lower()
        names |= {own, f"{own}.local"}
    shown = {f"[{name}]" if ":" in name else name for name in names}
    ports = {f"{name}:{port}" for name in shown}
    return frozenset(ports | shown if port == 80 else ports)


def address_of(host: str) -> str:
    """The host as others reach it: of every address, the one that leads outside."""
    if host in EVERYWHERE:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        ):
            # An address of documentation (RFC 5737), to which nothing is sent.
            probe.connect(("192.0.2.1", 9))
            host = probe.getsockname()[0]
    return f"[{host}]" if ":" in host else host


def _is_address(host: str) -> bool:
    """Whether a Host header is an IP address, with a port or without."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
        return True
    return False
