"""Who may ask, and for how much: Host, Origin, token and the size of bodies are checked before the page's own code
runs, and every answer gets the headers that tell a browser to keep others out.

The threats: a foreign page that the user has open and that posts to this server, or that has rebound its own name to
this computer's address to read from it; and, where the server listens to a network, whoever else is there.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actionprompt.page.settings import Settings

STALL_S = 60.0
"""A body of which nothing comes for so long is given up."""
LINGER_S = 5.0
"""How long the rest of a body is read after the answer: a browser that still sends sees an answer only if the
connection stays open."""
SMALL_BYTES = 1_000_000
"""Of a body that is no video."""
UPLOADS = ("POST", "/api/videos")
OPENED = ("/", "/docs")
"""What a person opens, and what another site may link to."""
ASSET = re.compile(r"/static/[\w-]+(\.[\w-]+)+", re.ASCII)
"""Needs no token: the same for everybody, and the page that asks for a token is styled by it."""
HOST = re.compile(r"(\[(?P<ip6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_-]+(\.[a-z0-9_-]+)*))(:(?P<port>[0-9]{1,5}))?")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}<title>ActionPrompt</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
</head>
<body>
<main class="reference">
<section class="card">
<h1>{title}</h1>
{text}
</section>
</main>
</body>
</html>
"""
REFRESH = '<meta http-equiv="refresh" content="0; url=/">\n'
ASK_TEXT = """<p>Please open the address that the terminal printed when the server started. It ends in
<code>?token=…</code> and is needed once for each browser.</p>
<p>If you have done so before, <a href="/">open the page again</a>.</p>"""
OPEN_TEXT = '<p><a href="/">Open the page</a></p>'


class Refused(Exception):
    """A request that is not passed on."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None, *, html: str = "") -> None:
        super().__init__(text)
        self.status, self.headers, self.html = status, dict(headers or {}), html


# Names ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """A name or an IP address, and a port."""

    name: str
    """In small letters; an IP address in its usual form, without brackets."""
    port: int | None

    @property
    def is_ip(self) -> bool:
        return as_ip(self.name) is not None


def as_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a text is, without the name of an interface (`%eth0`)."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach what listens there."""
    ip = as_ip(host.strip("[]"))
    return host.lower() == "localhost" if ip is None else ip.is_loopback


def read_address(text: str) -> Address:
    """What an Address is as people write it: a Host header, `::1` without brackets, or a name that is not ASCII.

    Raises:
        ValueError: it is none of these.
    """
    ip = as_ip(text)
    if ip is not None:
        return Address(str(ip), None)
    with suppress(UnicodeError):
        text = text if text.isascii() else text.encode("idna").decode()
    return read_host(text)


def read_host(text: str) -> Address:
    """What a Host header says: `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`.

    Raises:
        ValueError: it is none of these.
    """
    found = HOST.fullmatch(text.lower())
    if not found or int(found["port"] or 1) not in range(1, 65536):
        raise ValueError(f"expected a host name or an IP address, with or without :port, got {text!r}")
    port = int(found["port"]) if found["port"] else None
    if found["ip6"]:
        return Address(str(ipaddress.IPv6Address(found["ip6"])), port)
    return Address(found["name"], port)


def served(settings: Settings, port: int) -> frozenset[Address]:
    """What a Host header may say. Names are those that nobody else can bind to this computer's address: its own, and
    those of `allow_hosts`, which may be asked for with their own port, with the server's or, as behind a proxy, with
    none."""
    listened, wildcard = read_address(settings.host).name, is_wildcard(settings.host)
    names = {listened}
    if wildcard or is_loopback(settings.host):
        names |= {"127.0.0.1", "localhost", "::1"}
    if wildcard:
        own = socket.gethostname().lower()
        names |= {own, own.partition(".")[0], f"{own.partition('.')[0]}.local"}
    ports = {port, None} if port in (80, 443) else {port}
    addresses = {Address(name, number) for name in names if name for number in ports}
    for allowed in map(read_address, settings.allow_hosts):
        numbers = {port, None} if allowed.port is None else {allowed.port}
        addresses |= {Address(allowed.name, number) for number in numbers}
    return frozenset(addresses)


def is_wildcard(host: str) -> bool:
    """Whether it stands for all addresses of the computer."""
    ip = as_ip(host.strip("[]"))
    return ip is not None and ip.is_unspecified


# Checks --------------------------------------------------------------------------------------------------------------


class Guard:
    """ASGI middleware; bodies and answers pass through it piece by piece.

    Raises:
        ValueError: no token although others than this computer can ask, or a name that is none.
    """

    def __init__(self, app: ASGIApp, settings: Settings, port: int) -> None:
        if not settings.token and not is_loopback(settings.host):
            raise ValueError(f"expected a token for a server that listens on {settings.host}, where others can ask")
        self.app, self.port = app, port
        self.max_bytes = settings.max_bytes
        self.addresses, self.any_ip = served(settings, port), is_wildcard(settings.host)
        self.token = settings.token.encode() if settings.token else None
        self.cookie = f"actionprompt_{port}".encode()
        # Not the token itself: it may hold what a cookie cannot, and browsers send cookies to other ports as well.
        self.session = hmac.new(self.token or b"", b"actionprompt", hashlib.sha256).hexdigest().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:  # a websocket; the page has none
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_upload = (scope["method"], scope["path"]) == UPLOADS
        exchange = _Exchange(scope, receive, send, self.max_bytes if is_upload else SMALL_BYTES)
        try:
            self._check(scope)
            exchange.check_length()
        except Refused as refused:
            await exchange.answer(refused)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:  # the client went, or was refused in the middle of its body
            pass
        finally:
            if exchange.refused is not None:
                await exchange.answer(exchange.refused)

    def _check(self, scope: Scope) -> None:
        """Raises Refused for what may not be asked, by whom or under which name."""
        if not scope["path"].startswith("/"):
            raise Refused(400, "expected a path that begins with /")
        self._check_host(scope)
        self._check_site(scope)
        if self.token is not None:
            self._check_token(scope, self.token)

    def _check_host(self, scope: Scope) -> None:
        hosts = header(scope, b"host")
        if len(hosts) != 1:
            raise Refused(400, f"expected one Host header, got {len(hosts)}")
        try:
            address = read_host(hosts[0].decode("ascii"))
        except ValueError:  # of decoding as well
            address = None
        known = address is not None and address in self.addresses
        if address is not None and not known and self.any_ip and address.is_ip:
            known = address.port == self.port or (address.port is None and self.port in (80, 443))
        if not known:
            raise Refused(
                421, "this server is not asked for under that name; open the address that the terminal printed, or "
                "start the server with --allow-hosts NAME",
            )  # fmt: skip

    def _check_site(self, scope: Scope) -> None:
        host = header(scope, b"host")[0].lower()
        origins = header(scope, b"origin")
        if origins and (len(origins) > 1 or origins[0].lower() not in (b"http://" + host, b"https://" + host)):
            raise Refused(403, "this request comes from another site; only the page of this server may send it")
        sites = header(scope, b"sec-fetch-site")
        if set(sites) <= {b"same-origin", b"none"}:
            return
        opens = header(scope, b"sec-fetch-mode") == [b"navigate"] and header(scope, b"sec-fetch-dest") == [b"document"]
        if not (opens and scope["method"] == "GET" and scope["path"] in OPENED):
            raise Refused(403, "this request comes from another site; only the page of this server may send it")

    def _check_token(self, scope: Scope, token: bytes) -> None:
        reads = scope["method"] in ("GET", "HEAD")
        if reads and ASSET.fullmatch(scope["path"]):
            return
        opens = scope["method"] == "GET" and any(b"text/html" in kinds for kinds in header(scope, b"accept"))
        linked = header(scope, b"sec-fetch-site") == [b"cross-site"]
        given = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("token", [])
        if given and scope["method"] == "GET" and scope["path"] == "/":
            if all(same(text.encode(), token) for text in given):
                raise self._opened(linked)
        elif self._carries(scope, token):
            return
        text = "expected the token of this server; open the address that the terminal printed"
        html = ""
        if opens and scope["path"] in OPENED:
            # Linked from another site, the cookie is not sent, but it is once the page asks again by itself.
            html = HTML.format(head=REFRESH if linked and not given else "", title="A token is needed", text=ASK_TEXT)
        raise Refused(401, text, {"www-authenticate": 'Bearer realm="actionprompt"'}, html=html)

    def _carries(self, scope: Scope, token: bytes) -> bool:
        """Whether the request has the token, in the one way or the other."""
        found = []
        for value in header(scope, b"authorization"):
            scheme, _, text = value.partition(b" ")
            found.append(scheme.lower() == b"bearer" and same(text.strip(), token))
        for part in b";".join(header(scope, b"cookie")).split(b";"):
            name, _, text = part.strip().partition(b"=")
            found.append(name == self.cookie and same(text, self.session))
        return any(found)

    def _opened(self, linked: bool) -> Refused:
        """The answer to the right token in the address: a cookie in its place."""
        cookie = f"{self.cookie.decode()}={self.session.decode()}; Path=/; HttpOnly; SameSite=Strict"
        if linked:  # after a redirect the cookie would not be sent, since another site began it
            html = HTML.format(head=REFRESH, title="One moment", text=OPEN_TEXT)
            return Refused(200, "opened", {"set-cookie": cookie}, html=html)
        return Refused(303, "see /", {"set-cookie": cookie, "location": "/"})


def header(scope: Scope, name: bytes) -> list[bytes]:
    """The values of all headers of that name."""
    return [value for key, value in scope["headers"] if key.lower() == name]


def same(one: bytes, other: bytes) -> bool:
    """Compared in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


# Bodies and answers --------------------------------------------------------------------------------------------------


class _Exchange:
    """A request and its answer as they pass: the body is counted, and the answer gets its headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.limit = self._left = limit
        self._coming = bool(header(scope, b"transfer-encoding")) or header(scope, b"content-length") not in ([], [b"0"])
        self._started = self._cut = False
        self.refused: Refused | None = None
        """Why the rest of the body is not passed on; it is yet to be answered."""

    def check_length(self) -> None:
        """Raises Refused for a length that is announced and too much."""
        for value in header(self._scope, b"content-length"):
            if not re.fullmatch(rb"[0-9]{1,20}", value):
                raise Refused(400, "expected a number as Content-Length")
            if int(value) > self.limit:
                raise self._too_much()

    def _too_much(self) -> Refused:
        return Refused(413, f"expected at most {self.limit / 1e6:g} MB, got more")

    async def receive(self) -> Message:
        """What the application receives: a body that is refused ends as if the client had gone."""
        if self._cut:
            return {"type": "http.disconnect"}
        try:
            async with asyncio.timeout(STALL_S if self._coming else None):
                message = await self._receive()
        except TimeoutError:
            return self._refuse(Refused(408, f"nothing of the body came for {STALL_S:g} s; send it again"))
        self._left -= len(message.get("body", b""))
        self._coming = message["type"] == "http.request" and message.get("more_body", False)
        return self._refuse(self._too_much()) if self._left < 0 else message

    def _refuse(self, refused: Refused) -> Message:
        self._cut = True
        if not self._started:
            self.refused = refused
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """What the application sends, unless its request was refused in the meantime."""
        if self.refused is not None:
            return
        if message["type"] == "http.response.start":
            self._started = True
            message = {**message, "headers": self._headers(message.get("headers", []))}
        elif message["type"] == "http.response.body" and not message.get("more_body", False) and self._coming:
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = {name.encode(): value.encode() for name, value in HEADERS.items()}
        headers = [(name, value) for name, value in given if name.lower() not in ours] + [*ours.items()]
        if not any(name.lower() == b"cache-control" for name, _ in headers):
            secret = self._scope["path"].startswith("/api/")
            headers.append((b"cache-control", b"no-store" if secret else b"no-cache"))
        return [*headers, (b"connection", b"close")] if self._coming else headers

    async def _linger(self) -> None:
        """Read what still comes and throw it away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self._coming:
                    message = await self._receive()
                    self._coming = message["type"] == "http.request" and message.get("more_body", False)

    async def answer(self, refused: Refused) -> None:
        """Answer in the application's place."""
        self.refused = None
        body, kind = json.dumps({"error": str(refused)}).encode(), b"application/json"
        if refused.html:
            body, kind = refused.html.encode(), b"text/html; charset=utf-8"
        elif refused.status == 303:
            body = b""
        headers = {"cache-control": "no-store", **refused.headers}
        raw: list[tuple[bytes, bytes]] = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        raw += [(name.encode(), value.encode()) for name, value in headers.items()]
        start: dict[str, Any] = {"type": "http.response.start", "status": refused.status, "headers": raw}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})
