"""A client that asks an ASGI application without a server, and an application to be guarded."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.requests import ClientDisconnect

from actionprompt.page.guard import Guard
from actionprompt.page.settings import Settings

PORT, TOKEN = 7860, "a-token-of-24-characters"
HERE = f"127.0.0.1:{PORT}"
HTML = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
Headers = Sequence[tuple[str, str | bytes]]


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def error(self) -> str:
        return json.loads(self.body)["error"]


class Inner:
    """The application that is guarded: reads the body, says how long it was and what it was asked for."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.headers, self.asked, self.gone, self.reads = [*headers], [], 0, True

    async def __call__(self, scope, receive, send):
        self.asked.append((scope["method"], scope["path"]))
        count, more = 0, self.reads
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                raise ClientDisconnect
            count, more = count + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": str(count).encode()})


async def asking(app, method, path, headers: Headers, chunks, *, host: str | None = HERE) -> Answer:
    """One request in the client's place. A chunk is bytes, or seconds to wait; the body ends with the chunks."""
    named = [*([("host", host)] if host is not None else []), *headers]
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(), "http_version": "1.1",
        "headers": [(k.lower().encode(), v if isinstance(v, bytes) else v.encode()) for k, v in named],
    }  # fmt: skip
    left, sent, body_sent = list(chunks), [], asyncio.Event()

    async def receive():
        while left and isinstance(left[0], float):
            await asyncio.sleep(left.pop(0))
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
        await body_sent.wait()  # a client that waits for its answer

    async def send(message):
        sent.append(message)

    await asyncio.wait_for(app(scope, receive, send), 20)
    starts = [m for m in sent if m["type"] == "http.response.start"]
    assert len(starts) == 1
    assert sent[0] is starts[0]
    assert [m.get("more_body", False) for m in sent[1:]].count(False) == 1
    assert not sent[-1].get("more_body", False)
    pairs = [(key.decode(), value.decode()) for key, value in starts[0]["headers"]]
    return Answer(starts[0]["status"], pairs, b"".join(m.get("body", b"") for m in sent[1:]))


def ask(app, method="GET", path="/", headers: Headers = (), chunks=(b"",), *, host: str | None = HERE) -> Answer:
    return asyncio.run(asking(app, method, path, headers, chunks, host=host))


def guarded(port=PORT, **settings) -> Guard:
    return Guard(Inner(), Settings(**settings), port)


def tokened(token=TOKEN, **settings) -> Guard:
    return guarded(token=token, **settings)


def bearer(token: str | bytes) -> tuple[str, bytes]:
    return "authorization", b"Bearer " + (token.encode() if isinstance(token, str) else token)
