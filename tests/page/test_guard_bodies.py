"""How much the guard lets through: size and pace of bodies, and the headers of every answer."""

import asyncio
import re

import pytest

pytest.importorskip("starlette")

from starlette.requests import ClientDisconnect

from actionprompt.page import guard
from page.asking import HERE, HTML, PORT, TOKEN, Guard, Inner, Settings, ask, asking, bearer, guarded, tokened


@pytest.fixture(autouse=True)
def _short_times(monkeypatch):
    monkeypatch.setattr(guard, "LINGER_S", 0.05)


# Bodies --------------------------------------------------------------------------------------------------------------


def length(count: int | str) -> tuple[str, str]:
    return "content-length", str(count)


CHUNKED = ("transfer-encoding", "chunked")


@pytest.mark.parametrize(("path", "limit"), [("/api/videos", 3_000_000), ("/api/predict", 1_000_000), ("/", 1_000_000)])
def test_bodies_have_a_size(path, limit):
    app = guarded(max_mb=3)
    half = b"x" * (limit // 2)
    assert ask(app, "POST", path, [length(limit)], [half, half]).body == str(limit).encode()
    assert ask(app, "POST", path, [CHUNKED], [half, half]).status == 200
    asked = len(app.app.asked)
    answer = ask(app, "POST", path, [length(limit + 1)], [half])
    assert (answer.status, f"{limit // 1_000_000} MB" in answer.error) == (413, True)
    assert len(app.app.asked) == asked  # refused before it is read
    for headers in ([CHUNKED], [], [length(5)], [length(5), CHUNKED]):  # whatever was announced, it is counted
        assert ask(app, "POST", path, headers, [half, half, b"x"]).status == 413
    assert app.app.gone == 4


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/videos"), ("GET", "/api/videos"), ("DELETE", "/api/videos"), ("post", "/api/videos"),
        ("POST", "/api/videos/"), ("POST", "/api//videos"), ("POST", "/API/VIDEOS"), ("POST", "/api/videos/0/preview"),
        ("POST", "/api/predict"),
    ],
)  # fmt: skip
def test_only_an_upload_may_be_large(method, path):
    assert ask(guarded(), method, path, [length(1_000_001)], [b""]).status == 413
    assert ask(guarded(), method, path, [CHUNKED], [b"x" * 600_000] * 2).status == 413
    assert ask(guarded(), "POST", "/api/videos?name=a.mp4", [length(1_000_001)], [b"x" * 1_000_001]).status == 200


@pytest.mark.parametrize("value", ["-1", "+1", "1e3", "0x10", "1_0", " 1", "", "٣", "1,1", "9" * 21])
def test_a_length_that_is_none(value):
    assert ask(guarded(), "POST", "/api/videos", [length(value)], [b""]).status == 400
    assert ask(guarded(), "POST", "/api/videos", [length(1), length(value)], [b""]).status == 400


def test_the_larger_of_two_lengths_counts():
    assert ask(guarded(), "POST", "/x", [length(1), length(1_000_001)], [b"x"]).status == 413


@pytest.mark.parametrize("path", ["/api/videos", "/api/predict"])
def test_a_body_that_stalls_is_given_up(path, monkeypatch):
    monkeypatch.setattr(guard, "STALL_S", 0.1)
    app = guarded()
    for headers in ([length(10)], [CHUNKED]):
        answer = ask(app, "POST", path, headers, [b"x", 0.01, b"x", 9.0, b"x"])
        assert (answer.status, answer["connection"]) == (408, "close")
    assert app.app.gone == 2  # the page's code is told, and can throw away what it has
    slow = [part for _ in range(20) for part in (b"x", 0.02)]
    assert ask(app, "POST", path, [length(20)], [*slow, b""]).status == 200  # slow, but it moves


def test_slow_bodies_block_nobody(monkeypatch):
    app = guarded()

    async def both():
        parts = [part for _ in range(10) for part in (b"x", 0.1)] + [b""]
        slow = [asyncio.create_task(asking(app, "POST", "/api/videos", [length(10)], parts)) for _ in range(50)]
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(20):
            assert (await asking(app, "GET", "/", [], [b""])).status == 200
        taken = loop.time() - began
        assert not any(task.done() for task in slow)
        assert {(await task).status for task in slow} == {200}
        return taken

    assert asyncio.run(both()) < 0.5


def test_waiting_for_the_end_of_a_request_without_a_body_has_no_limit(monkeypatch):
    """An event stream listens for its client to go, for hours."""
    monkeypatch.setattr(guard, "STALL_S", 0.01)
    seen = []

    async def events(scope, receive, send):
        seen.append(await receive())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.2)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    answer = ask(Guard(events, Settings(), PORT), path="/api/jobs/0/events")
    assert (answer.status, answer["connection"]) == (200, None)
    assert seen == [{"type": "http.request", "body": b"", "more_body": False}]


def test_an_answer_before_the_end_of_the_body_waits_for_it_a_little():
    """A browser that is cut off while it sends shows no answer at all."""
    app = guarded()
    app.app.reads = False
    left = [b"x" * 1000] * 5
    taken = iter(left)

    async def run():
        sent, read = [], []

        async def receive():
            read.append(next(taken, None))
            return {"type": "http.request", "body": b"x", "more_body": len(read) < 5}

        async def send(message):
            sent.append((message, len(read)))

        headers = [(b"host", HERE.encode()), (b"content-length", b"5000")]
        scope = {"type": "http", "method": "POST", "path": "/api/videos", "query_string": b"", "headers": headers}
        await app(scope, receive, send)
        return sent

    start, body, end = asyncio.run(run())
    assert (b"connection", b"close") in start[0]["headers"]
    assert (body[0]["body"], body[0]["more_body"], body[1]) == (b"0", True, 0)  # the answer is out first
    assert (end[0].get("more_body", False), end[1]) == (False, 5)


def test_a_body_that_never_ends_is_not_waited_for_long():
    app = guarded()
    app.app.reads = False
    assert ask(app, "POST", "/api/videos", [CHUNKED], [b"x", 60.0, b"x"]).status == 200
    assert ask(app, "POST", "/x", [length(2_000_000)], [b"x", 60.0, b"x"]).status == 413


def test_after_a_refusal_the_page_cannot_answer_any_more():
    class Stubborn(Inner):
        async def __call__(self, scope, receive, send):
            try:
                await super().__call__(scope, receive, send)
            except ClientDisconnect:
                assert (await receive())["type"] == "http.disconnect"
                await send({"type": "http.response.start", "status": 500, "headers": []})
                await send({"type": "http.response.body", "body": b"from the page"})

    answer = ask(Guard(Stubborn(), Settings(), PORT), "POST", "/x", [CHUNKED], [b"x" * 600_000] * 2)
    assert (answer.status, b"page" in answer.body) == (413, False)


def test_an_answer_that_has_begun_is_not_followed_by_another():
    async def early(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (message := await receive())["type"] != "http.disconnect":
            assert message["more_body"]
        await send({"type": "http.response.body", "body": b"done"})

    answer = ask(Guard(early, Settings(), PORT), "POST", "/x", [CHUNKED], [b"x" * 600_000] * 2)
    assert (answer.status, answer.body) == (200, b"done")


def test_a_fault_of_the_page_stays_one():
    async def fault(scope, receive, send):
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        ask(Guard(fault, Settings(), PORT))


# Answers -------------------------------------------------------------------------------------------------------------


def test_every_answer_tells_the_browser_to_keep_others_out():
    app = tokened(allow_hosts=("a.example",))
    requests = [
        ("GET", "/static/a.css", []), ("GET", "/", []), ("GET", "/", [HTML]), ("GET", f"/?token={TOKEN}", []),
        ("GET", "/api/videos", [bearer(TOKEN)]), ("POST", "/x", [length(2_000_000)]),
        ("GET", "/", [("origin", "null")]), ("GET", "/", [("host", "x")]), ("POST", "/x", [bearer(TOKEN), CHUNKED]),
    ]  # fmt: skip
    for method, path, headers in requests:
        answer = ask(app, method, path, headers)
        for name, value in guard.HEADERS.items():
            assert answer[name] == value, (method, path, name)
        assert answer["server"] is None
    policy = dict(part.strip().split(" ", 1) for part in guard.HEADERS["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert not re.search(r"unsafe|https?:|\*", " ".join(policy.values()))


def test_headers_of_the_page_cannot_weaken_them():
    inner = Inner([(b"Content-Security-Policy", b"default-src *"), (b"X-Frame-Options", b"ALLOW"), (b"x-own", b"1")])
    answer = ask(Guard(inner, Settings(), PORT))
    assert answer["content-security-policy"] == guard.HEADERS["content-security-policy"]
    assert "Content-Security-Policy" not in dict(answer.headers)
    assert "X-Frame-Options" not in dict(answer.headers)
    assert answer["x-own"] == "1"


@pytest.mark.parametrize(
    ("path", "kept"),
    [("/", "no-cache"), ("/static/a.js", "no-cache"), ("/docs", "no-cache"), ("/api/videos", "no-store")],
)
def test_what_may_be_kept(path, kept):
    assert ask(guarded(), path=path)["cache-control"] == kept
    inner = Inner([(b"Cache-Control", b"private, max-age=60")])
    assert ask(Guard(inner, Settings(), PORT), path=path).headers.count(("Cache-Control", "private, max-age=60")) == 1
    for answer in (ask(guarded(), path=path, host="x"), ask(tokened(), path=f"/?token={TOKEN}")):
        assert answer["cache-control"] == "no-store"


# Other kinds ---------------------------------------------------------------------------------------------------------


def test_a_websocket_is_refused():
    app, sent = guarded(), []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "headers": [(b"host", HERE.encode())], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert app.app.asked == []


def test_the_life_of_the_server_passes_through():
    seen = []

    async def inner(scope, receive, send):
        seen.append((scope["type"], receive, send))

    asyncio.run(Guard(inner, Settings(), PORT)({"type": "lifespan"}, "receive", "send"))
    assert seen == [("lifespan", "receive", "send")]
