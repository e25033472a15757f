"""Whom the guard lets ask: names, origins and tokens that it has to refuse, with their status, and the nearest ones
that it has to let through."""

import re
import socket

import pytest

pytest.importorskip("starlette")

from page.asking import HERE, HTML, TOKEN, ask, bearer, guarded, tokened

# Host ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", [HERE, "localhost:7860", "LOCALHOST:7860", "[::1]:7860", "[0:0:0:0:0:0:0:1]:7860", "LocalHost:07860"]
)
def test_a_server_of_this_computer_is_asked_for_under_its_own_names(host):
    for listened in ("127.0.0.1", "localhost", "::1", "127.0.0.5"):
        assert ask(guarded(host=listened), host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:7860", "localhost", "127.0.0.1", "localhost:7861", "localhost:", "localhost:80",
        "localhost.:7860", "localhost:7860.evil.example", "localhost:7860@evil.example", "evil@localhost:7860",
        "127.0.0.1.evil.example:7860", "127.0.0.1.nip.io:7860", "0.0.0.0:7860", "[::]:7860", "192.168.1.5:7860",
        "127.1:7860", "2130706433:7860", "0x7f.0.0.1:7860", "[::ffff:127.0.0.1]:7860", "::1:7860", "[::1]",
        "[::1%lo]:7860", "127.0.0.1%evil.example:7860", "127.0.0.1%x", "", " ", "localhost:7860 ", "localhost :7860",
        "localhost:78 60", "localhost:7860,evil.example", "localhost:7860/", "a.localhost:7860",
        "localhost:99999999999", "localhost:0", "localhost:-7860", "[localhost]:7860", "[:7860", "]:7860", "[]:7860",
        "[:::]:7860", "[1.2.3.4]:7860", "\N{FULLWIDTH DIGIT ONE}27.0.0.1:7860",
        "127.0.0.1:\N{ARABIC-INDIC DIGIT SEVEN}860", "localho\N{LATIN SMALL LETTER LONG S}t:7860",
        "localhost:7860\x00", "localhost:7860\n", b"\xff\xfe", "_" * 100_000,
    ],
)  # fmt: skip
def test_a_name_that_somebody_else_could_bind_to_this_address_is_refused(host):
    app = guarded()
    answer = ask(app, headers=[("host", host)], host=None)
    assert answer.status == 421
    assert "--allow-hosts" in answer.error
    assert app.app.asked == []


def test_one_host_is_expected():
    app = guarded()
    assert ask(app, host=None).status == 400
    assert ask(app, headers=[("host", HERE)]).status == 400
    assert ask(app, headers=[("Host", "evil.example")]).status == 400
    assert app.app.asked == []


@pytest.mark.parametrize("path", ["http://evil.example/", "", "*", "evil.example:80"])
def test_a_path_that_is_none(path):
    assert ask(guarded(), path=path).status == 400


@pytest.mark.parametrize(("port", "bare"), [(80, 200), (443, 200), (7860, 421)])
def test_a_browser_leaves_out_the_usual_ports(port, bare):
    assert ask(guarded(port), host="localhost").status == bare
    assert ask(guarded(port), host=f"localhost:{port}").status == 200
    everywhere = guarded(port, host="0.0.0.0", token=TOKEN)
    assert ask(everywhere, path="/static/a.js", host="192.168.1.5").status == bare
    assert ask(everywhere, path="/static/a.js", host=f"192.168.1.5:{port}").status == 200


@pytest.mark.parametrize("listened", ["0.0.0.0", "::"])
def test_on_all_addresses_each_of_them_is_a_name(listened, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "Bench.lab.example")
    app = guarded(host=listened, token=TOKEN)
    own = ("bench.lab.example", "BENCH", "bench.local")
    for host in ("127.0.0.1", "localhost", "[::1]", "192.168.1.5", "[fe80::1]", "[::ffff:10.0.0.1]", *own):
        assert ask(app, path="/static/a.js", host=f"{host}:7860").status == 200
        assert ask(app, path="/static/a.js", host=f"{host}:7861").status == 421
    for host in ("evil.example", "evil.local", "bench.lab.example.evil.example", "lab.example", "10.0.0.1.nip.io"):
        assert ask(app, path="/static/a.js", host=f"{host}:7860").status == 421


def test_on_one_address_of_a_network_that_address_is_the_name():
    app = guarded(host="192.168.1.5", token=TOKEN)
    assert ask(app, path="/static/a.js", host="192.168.1.5:7860").status == 200
    for host in ("192.168.1.6:7860", "localhost:7860", "127.0.0.1:7860", "192.168.1.5"):
        assert ask(app, path="/static/a.js", host=host).status == 421
    app = guarded(host="FE80::0:1%eth0", token=TOKEN)
    assert ask(app, path="/static/a.js", host="[fe80::1]:7860").status == 200
    assert ask(app, path="/static/a.js", host="[fe80::2]:7860").status == 421


def test_names_that_are_allowed():
    app = guarded(allow_hosts=("Coach.example", "localhost:9000", "10.0.0.7", "fd00::1", "münchen.example"))
    fine = ["coach.example", "COACH.example:7860", "localhost:9000", "10.0.0.7:7860", "[fd00::1]", "localhost:7860"]
    for host in (*fine, "xn--mnchen-3ya.example"):
        assert ask(app, host=host).status == 200
    for host in ("coach.example:7861", "a.coach.example", "coach.example.", "localhost:9001", "localhost", "10.0.0.8"):
        assert ask(app, host=host).status == 421


@pytest.mark.parametrize(
    "name", ["*", "http://a.example", "a b", "a.example:http", "", "a.example/", ".example", "é" * 99]
)
def test_a_name_that_is_none_is_not_allowed(name):
    with pytest.raises(ValueError, match="expected a host name or an IP address"):
        guarded(allow_hosts=(name,))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "bench", "8.8.8.8", "localhost.example"])
def test_where_others_can_ask_there_is_a_token(host):
    for token in (None, ""):
        with pytest.raises(ValueError, match="expected a token"):
            guarded(host=host, token=token)
    assert guarded(host=host, token=TOKEN)


# Origin --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:7860", 200), ("https://127.0.0.1:7860", 200), ("HTTP://127.0.0.1:7860", 200),
        ("null", 403), ("", 403), ("http://evil.example", 403), ("http://localhost:7860", 403),
        ("http://127.0.0.1", 403), ("http://127.0.0.1:7861", 403), ("http://127.0.0.1:78600", 403),
        ("http://127.0.0.1:7860.evil.example", 403), ("http://127.0.0.1:7860/", 403), ("127.0.0.1:7860", 403),
        ("http://evil.example@127.0.0.1:7860", 403), ("file://127.0.0.1:7860", 403), ("http:/127.0.0.1:7860", 403),
        ("http://127.0.0.1:7860 http://evil.example", 403), ("ws://127.0.0.1:7860", 403),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_another_origin_is_refused(origin, status, method):
    app = guarded()
    answer = ask(app, method, "/api/predict", [("origin", origin)])
    assert answer.status == status
    assert len(app.app.asked) == (status == 200)
    assert not [name for name, _ in answer.headers if name.startswith("access-control")]


def test_two_origins_are_refused():
    assert ask(guarded(), "POST", "/", [("origin", f"http://{HERE}"), ("origin", "http://evil.example")]).status == 403


def test_the_origin_is_that_of_the_name_that_was_asked_for():
    app = guarded(allow_hosts=("coach.example",))
    for scheme in ("http", "https"):
        assert ask(app, "POST", "/", [("origin", f"{scheme}://coach.example")], host="Coach.example").status == 200
    assert ask(app, "POST", "/", [("origin", f"http://{HERE}")], host="coach.example").status == 403
    assert ask(app, "POST", "/", [("origin", "http://[::1]:7860")], host="[::1]:7860").status == 200


OPENED = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "CROSS-SITE", "something-new"])
@pytest.mark.parametrize("path", ["/", "/docs", "/api/videos", "/openapi.json", "/static/app.js", "//", "/docs/"])
def test_another_site_may_link_to_the_page_and_no_more(site, path):
    app, asked = guarded(), [("sec-fetch-site", site)]
    assert ask(app, "GET", path, [*asked, *OPENED]).status == (200 if path in ("/", "/docs") else 403)
    assert ask(app, "POST", path, [*asked, *OPENED]).status == 403
    for mode, dest in [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("navigate", "object")]:
        assert ask(app, "GET", path, [*asked, ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]).status == 403
    assert ask(app, "GET", path, asked).status == 403
    assert ask(app, "GET", path, [*asked, ("sec-fetch-site", "same-origin")]).status == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_page_itself_may_ask(site):
    for method in ("GET", "POST", "DELETE"):
        assert ask(guarded(), method, "/api/videos", [("sec-fetch-site", site)]).status == 200


# Token ---------------------------------------------------------------------------------------------------------------


def opened(app) -> str:
    """The cookie of a browser that opened the address."""
    answer = ask(app, path=f"/?token={TOKEN}")
    assert answer.status == 303
    assert answer["location"] == "/"
    return answer["set-cookie"].partition(";")[0]


def test_the_address_with_the_token_is_opened_once():
    app = tokened()
    answer = ask(app, path=f"/?token={TOKEN}")
    assert set(answer["set-cookie"].split("; ")[1:]) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    assert answer["set-cookie"].startswith("actionprompt_7860=")
    assert app.app.asked == []
    cookie = opened(app)
    for cookies in (cookie, f"a=b; {cookie}", f"{cookie};a=b", f"actionprompt_7860=wrong; {cookie}", f"  {cookie} "):
        assert ask(app, path="/api/videos", headers=[("cookie", cookies)]).status == 200
    assert ask(app, path="/api/videos", headers=[("cookie", "a=b"), ("cookie", cookie)]).status == 200


@pytest.mark.parametrize(
    "cookie",
    [
        "", "actionprompt_7860", "actionprompt_7860=", f"actionprompt_7860={TOKEN}", "other={value}", "{value}",
        "actionprompt_7861={value}", "Actionprompt_7860={value}", "actionprompt_7860={value}x", "x{cookie}",
        "actionprompt_7860=\"{value}\"", "a=b, {cookie}", "actionprompt_7860 ={value}",
    ],
)  # fmt: skip
def test_another_cookie_is_refused(cookie):
    app = tokened()
    right = opened(app)
    given = cookie.format(cookie=right, value=right.partition("=")[2])
    assert ask(app, path="/api/videos", headers=[("cookie", given)]).status == 401
    assert app.app.asked == []


def test_the_cookie_of_another_token_is_refused():
    cookie = opened(tokened())
    assert ask(tokened("another-token-of-24-char"), path="/api/videos", headers=[("cookie", cookie)]).status == 401


def test_a_program_carries_the_token_in_a_header():
    app = tokened()
    assert ask(app, path="/api/videos", headers=[bearer(TOKEN)]).status == 200
    assert ask(app, path="/api/videos", headers=[("authorization", f"BEARER  {TOKEN} ")]).status == 200
    assert ask(app, path="/api/videos", headers=[bearer(TOKEN), ("cookie", "actionprompt_7860=wrong")]).status == 200
    assert ask(app, path="/api/videos", headers=[bearer("wrong"), ("cookie", opened(app))]).status == 200
    for value in (TOKEN, f"Basic {TOKEN}", f"Bearer{TOKEN}", f"Bearer {TOKEN} {TOKEN}", f"Bearer\t{TOKEN}", "Bearer"):
        assert ask(app, path="/api/videos", headers=[("authorization", value)]).status == 401


WRONG = ["", " ", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "wrong", "é" * 24, b"\xff" * 24, b"\x00", "x" * 100_000]


@pytest.mark.parametrize("token", WRONG)
def test_a_wrong_token_is_refused_and_not_repeated(token):
    app = tokened()
    cookie = b"actionprompt_7860=" + (token.encode() if isinstance(token, str) else token)
    for headers in ([bearer(token)], [("cookie", cookie)]):
        answer = ask(app, path="/api/videos", headers=headers)
        assert (answer.status, answer["www-authenticate"][:6]) == (401, "Bearer")
        assert TOKEN.encode() not in answer.body
    assert app.app.asked == []


@pytest.mark.parametrize(
    "query",
    [
        "token=", "token=wrong", f"token={TOKEN}x", f"token={TOKEN}&token=wrong", f"token=%20{TOKEN}", f"Token={TOKEN}",
        f"t={TOKEN}", "token", f"token%3D{TOKEN}", "token=%FF%FE", "token=%ED%A0%80", "token=\xff", f"x;token={TOKEN}",
    ],
)  # fmt: skip
def test_a_wrong_token_in_the_address_is_refused(query):
    app = tokened()
    answer = ask(app, path=f"/?{query}")
    assert answer.status == 401
    assert answer["set-cookie"] is None
    assert TOKEN.encode() not in answer.body
    assert app.app.asked == []


def test_the_token_in_an_address_opens_the_page_and_nothing_else():
    app, query = tokened(), f"?token={TOKEN}"
    asked = [
        ("GET", "/api/videos"),
        ("POST", "/"),
        ("HEAD", "/"),
        ("GET", "/docs"),
        ("GET", "//"),
        ("DELETE", "/api/x"),
    ]
    for method, path in asked:
        answer = ask(app, method, path + query)
        assert (answer.status, answer["set-cookie"]) == (401, None)
    assert ask(app, path="/?token=wrong", headers=[("cookie", opened(app))]).status == 401
    assert app.app.asked == []


def test_a_token_is_not_seen_in_any_answer():
    app = tokened()
    for answer in (ask(app, path=f"/?token={TOKEN}"), ask(app, path="/?token=wrong"), ask(app, headers=[bearer("x")])):
        assert TOKEN not in repr(answer)


@pytest.mark.parametrize(
    "token", ["ключ-из-двадцати-знаков", 'semi;colon, and=others"é', "a%20b+c&d=e/f?g#h" + "x" * 9]
)
def test_a_token_may_hold_any_characters(token):
    from urllib.parse import quote

    app = tokened(token)
    assert ask(app, path="/api/videos", headers=[bearer(token)]).status == 200
    answer = ask(app, path=f"/?token={quote(token, safe='')}")
    assert answer.status == 303
    cookie = answer["set-cookie"].partition(";")[0]
    assert ask(app, path="/api/videos", headers=[("cookie", cookie)]).status == 200


def test_without_a_token_none_is_expected():
    for path in ("/", "/?token=x", "/api/videos", "/docs"):
        assert ask(guarded(), path=path).status == 200


@pytest.mark.parametrize("path", ["/static/style.css", "/static/app.js", "/static/icon.min.svg", "/static/a_b-c.css"])
def test_assets_hold_nothing_secret(path):
    assert ask(tokened(), path=path).status == 200
    assert ask(tokened(), "HEAD", path).status == 200
    assert ask(tokened(), "POST", path).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/static", "/static/", "/static/..", "/static/../api/videos", "/static/a/../../api/videos", "/static//a.css",
        "/static/a.css/", "/static/a.css\n", "/static/.hidden", "/static/a", "/staticx/a.css", "/static/..\\api.css",
        "/Static/a.css", "//static/a.css", "/api/static/a.css", "/static/é.css", "/static/a..css", "/static/a.css/../x",
    ],
)  # fmt: skip
def test_only_files_right_in_the_folder_are_assets(path):
    app = tokened()
    assert ask(app, path=path).status == 401
    assert app.app.asked == []


@pytest.mark.parametrize("path", ["/", "/docs", "/?token=wrong"])
def test_a_person_without_the_token_reads_what_to_do(path):
    answer = ask(tokened(), path=path, headers=[HTML])
    text = answer.body.decode()
    assert (answer.status, answer["content-type"]) == (401, "text/html; charset=utf-8")
    assert "address that the terminal printed" in text
    assert 'href="/static/style.css"' in text
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?:", text)
    assert "refresh" not in text
    assert answer["www-authenticate"]


def test_a_program_without_the_token_reads_json():
    for method, path, headers in (("GET", "/", []), ("GET", "/api/videos", [HTML]), ("POST", "/", [HTML])):
        answer = ask(tokened(), method, path, headers)
        assert (answer.status, answer["content-type"]) == (401, "application/json")
        assert "token" in answer.error


def test_a_link_of_another_site_asks_again_so_that_the_cookie_is_sent():
    """A browser keeps a SameSite=Strict cookie to itself as long as another site began the request."""
    linked, app = [HTML, *OPENED, ("sec-fetch-site", "cross-site")], tokened()
    for path, status in (("/", 401), (f"/?token={TOKEN}", 200)):
        answer = ask(app, path=path, headers=linked)
        assert answer.status == status
        assert b'content="0; url=/"' in answer.body
        assert TOKEN.encode() not in answer.body
        assert (answer["set-cookie"] is not None) == (status == 200)
    assert b"refresh" not in ask(app, path="/?token=wrong", headers=linked).body
    assert (
        b"refresh" not in ask(app, headers=[HTML, *OPENED, ("sec-fetch-site", "same-origin")]).body
    )  # no endless loop


def test_the_token_does_not_replace_the_other_checks():
    app = tokened()
    assert ask(app, headers=[bearer(TOKEN)], host="evil.example:7860").status == 421
    assert ask(app, "POST", "/api/videos", [bearer(TOKEN), ("origin", "http://evil.example")]).status == 403
    assert ask(app, path=f"/?token={TOKEN}", host="evil.example:7860").status == 421
    assert ask(app, path=f"/?token={TOKEN}", headers=[("origin", "http://evil.example")]).status == 403
    assert ask(app, "POST", "/x", [bearer(TOKEN), ("content-length", "1000001")]).status == 413


def test_tokens_are_compared_in_constant_time(monkeypatch):
    import hmac

    pairs = []
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: pairs.append((one, other)) or one == other)
    app = tokened()
    ask(app, path="/api/videos", headers=[bearer("guess")])
    ask(app, path="/?token=guess")
    ask(app, path="/api/videos", headers=[("cookie", "actionprompt_7860=guess")])
    assert [pair[0] for pair in pairs] == [b"guess"] * 3
