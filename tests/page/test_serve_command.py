"""actionprompt serve: what it refuses in a line, what it hands to the server, and how it is stopped."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import psutil

from actionprompt.commands import main, serve
from actionprompt.page import server
from actionprompt.page.settings import Settings

URL = "http://127.0.0.1:7860/?token=abc"
COMMAND = [sys.executable, "-m", "actionprompt"]


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Runs the verb with a server that only says that it has started: the settings it was given; or None."""
    monkeypatch.setattr(serve.webbrowser, "open", lambda url: pytest.fail(f"a browser was opened at {url}"))

    def run(*args: str) -> tuple[int, Settings | None]:
        got = []

        def fake(settings, *, started):
            got.append(settings)
            started(URL)

        monkeypatch.setattr(server, "serve", fake)
        options = ["--backbone", "tiny", "--no-open", "--models", str(tmp_path / "models")]
        code = main(["serve", *options, *args])
        return code, got[0] if got else None

    return run


# What is handed to the server ----------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_settings(served, tmp_path):
    code, got = served()
    assert code == 0
    assert got == Settings(backbone="tiny", models=tmp_path / "models")
    assert asdict(serve.Options()).keys() - {"open"} == asdict(Settings()).keys() - {"max_jobs"}
    assert not (tmp_path / "models").exists()  # the server makes it


def test_every_option_arrives(served, tmp_path):
    words = """--port 0 --host ::1 --model run --token 0123456789-_.~ab --allow-hosts a.example b.example:81 --max-mb 7
        --max-gb 0.5 --max-minutes 1.5 --max-memory-gb 2 --max-queue 3 --models elsewhere --backbone random:nano"""
    assert served(*words.split())[1] == Settings(
        port=0, host="::1", model=Path("run"), token="0123456789-_.~ab", allow_hosts=("a.example", "b.example:81"),
        max_mb=7, max_gb=0.5, max_minutes=1.5, max_memory_gb=2.0, max_queue=3, models=Path("elsewhere"),
        backbone="random:nano",
    )  # fmt: skip
    assert served("--host", "[::1]")[1].host == "::1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9", "LOCALHOST"])
def test_on_this_computer_there_is_no_token(served, host):
    assert served("--host", host)[1].token is None


@pytest.mark.parametrize(
    "args", ["--host 0.0.0.0", "--host ::", "--host 192.168.1.5", "--token", "--token --port 0", "--token make"]
)
def test_a_token_is_made(served, args):
    tokens = {served(*args.split())[1].token for _ in range(3)}
    assert len(tokens) == 3
    assert all(serve.TOKEN.fullmatch(token) and len(token) >= 32 for token in tokens)


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("--port -1", "expected --port of 1 to 65535, or 0 for any that is free, got -1"),
        ("--port 65536", "expected --port of 1 to 65535"), ("--port x", "--port: expected a whole number, got 'x'"),
        ("--port 78.6", "whole number"), ("--host a_b:80", "--host: expected an address without a port"),
        ("--host http://a.example", "--host: expected a host name or an IP address"), ("--host []", "--host"),
        ("--host=", "expected --host with an address"), ("--host 1.2.3.4:80", "without a port"),
        ("--token short", "expected --token of at least 16"), ("--token 0123456789abcde", "got 15 characters"),
        ("--token 0123456789abcdef/", "letters, digits"), ("--token 0123456789abcdeé", "letters, digits"),
        ("--token=", "got 0 characters"), ("--allow-hosts a/b", "--allow-hosts: expected a host name"),
        ("--allow-hosts fine.example *", "got '*'"), ("--max-mb 0", "expected --max-mb of at least 1, got 0"),
        ("--max-mb -5", "--max-mb"), ("--max-gb 0", "expected --max-gb above 0, got 0"), ("--max-gb -0.1", "--max-gb"),
        ("--max-gb nan", "--max-gb above 0, got nan"), ("--max-minutes inf", "--max-minutes above 0, got inf"),
        ("--max-minutes 0", "--max-minutes"), ("--max-memory-gb 0", "--max-memory-gb"),
        ("--max-queue 0", "--max-queue"), ("--max-queue -1", "at least 1, got -1"),
        ("--nonsense", "there is no option --nonsense"), ("word", "word"),
    ],
)  # fmt: skip
def test_what_no_server_can_be_started_with(served, capsys, args, said):
    assert served(*args.split()) == (2, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_folder_of_models_that_is_a_file(served, capsys, tmp_path):
    (tmp_path / "file").write_text("x")
    assert served("--models", str(tmp_path / "file")) == (2, None)
    assert "--models: expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize("missing", [*serve.PACKAGES])
def test_the_packages_of_the_page_are_needed(served, capsys, monkeypatch, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == missing else find(name, *a))
    assert served() == (2, None)
    said = capsys.readouterr().err
    assert said.splitlines() == [
        f'error: expected the packages of the page; pip install "actionprompt[page]" (there is no {missing})'
    ]


@pytest.mark.page
def test_what_the_server_refuses_is_a_line(served, capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for args, said in ((["--port", port], f"port {port}"), (["--host", "192.0.2.1", "--port", "0"], "192.0.2.1")):
            run = [*COMMAND, "serve", "--backbone", "tiny", "--no-open", *args]
            done = subprocess.run(run, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stdout) == (2, "")
            assert said in done.stderr
            assert "give another --port or --host" in done.stderr
            assert len(done.stderr.splitlines()) == 1


# The backbone --------------------------------------------------------------------------------------------------------


def test_a_backbone_that_is_here_is_not_fetched(served, tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "fetch_apart", lambda name: pytest.fail(f"{name} was fetched"))
    for name in ("tiny", "random:nano", str(tmp_path)):
        assert served("--backbone", name)[0] == 0


def test_a_backbone_is_fetched_before_the_page_opens(served, monkeypatch, capsys):
    fetched = []
    monkeypatch.setattr(serve, "fetch_apart", fetched.append)
    assert served("--backbone", "auto")[0] == 0
    assert fetched == ["auto"]

    def fail(name):
        raise ValueError("it cannot be had")

    monkeypatch.setattr(serve, "fetch_apart", fail)
    assert served("--backbone", "auto") == (2, None)
    assert capsys.readouterr().err.splitlines()[-1] == "error: it cannot be had"


@pytest.mark.page
def test_without_a_network_there_are_three_ways_out(tmp_path):
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = [*COMMAND, "serve", "--no-open", "--port", "0"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, env=offline)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "`--backbone tiny`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# What is said --------------------------------------------------------------------------------------------------------


def test_it_says_where_the_page_is_and_how_to_stop(served, capsys, tmp_path):
    served("--max-mb", "50", "--max-minutes", "2", "--max-memory-gb", "3")
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"the page: {URL}"
    for said in ("50 MB", "20 GB", "2 minutes", "3 GB of memory", "16 jobs", str(tmp_path / "models"), "Ctrl-C"):
        assert said in out
    assert "from other computers" not in out
    assert err == ""


def test_where_others_can_ask_it_says_under_which_address(served, capsys, monkeypatch):
    monkeypatch.setattr(serve, "own_address", lambda: "192.168.1.5")
    served("--host", "0.0.0.0")
    out, err = capsys.readouterr()
    assert "from other computers: http://192.168.1.5:7860/?token=abc" in out.splitlines()
    assert "not encrypted" in err
    assert re.fullmatch(r"\S+", serve.own_address())


def test_the_page_is_opened_in_the_browser(served, monkeypatch, capsys):
    opened = []
    monkeypatch.setenv("BROWSER", "x")
    monkeypatch.setattr(serve.webbrowser, "open", lambda url: opened.append(url) or True)
    assert served("--open")[0] == 0
    end = time.monotonic() + 5
    while not opened and time.monotonic() < end:
        time.sleep(0.01)
    assert opened == [URL]
    assert "no browser" not in capsys.readouterr().err


def test_where_no_browser_can_be_opened_it_is_said(monkeypatch, capsys):
    monkeypatch.setattr(serve.sys, "platform", "linux")

    def raising(url):
        raise serve.webbrowser.Error("none")

    for screen, browser in ((":0", raising), (":0", lambda url: False), ("", lambda url: pytest.fail("no screen"))):
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DISPLAY", screen)
        monkeypatch.setattr(serve.webbrowser, "open", browser)
        serve.open_browser(URL)
        assert "please open the address above" in capsys.readouterr().err


# The process ---------------------------------------------------------------------------------------------------------


@pytest.mark.page
@pytest.mark.skipif(os.name == "nt", reason="a console of Windows sends Ctrl-C to all its processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_stopped_has_done_its_work(start, number):
    one = start("--token")
    process = psutil.Process(one.process.pid)
    assert one.client.call("GET", "/api/server").status == 200
    if sys.platform == "linux":
        assert not [part.path for part in process.memory_maps() if "torch" in part.path]
    one.process.send_signal(number)
    assert one.process.wait(15) == 0
    assert one.temporary == []
    end = time.monotonic() + 5
    while not any(line.startswith("stopped; ") for line in one.lines) and time.monotonic() < end:
        time.sleep(0.01)
    assert any(line.startswith("stopped; ") for line in one.lines)
    assert not any("interrupted" in line or "Traceback" in line for line in one.lines)


@pytest.mark.page
@pytest.mark.skipif(os.name == "nt", reason="a console of Windows sends Ctrl-C to all its processes")
def test_a_start_that_is_interrupted_is_none():
    """Until the server runs, Ctrl-C is what it is to every verb."""

    code = "import sys, signal; from actionprompt.commands import main; from actionprompt.page import server\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it\n"
    code += "server.serve = lambda settings, started: signal.raise_signal(signal.SIGINT)\n"
    code += "sys.exit(main(['serve', '--backbone', 'tiny', '--no-open']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "stopped; " not in done.stdout
    assert "interrupted" in done.stderr


@pytest.mark.parametrize("args", [["--help"], ["serve", "--help"], ["serve", "--port", "-1"]])
def test_help_needs_no_package_of_the_page(args):
    code = f"""
import sys
from actionprompt.commands import main
try:
    main({args})
except SystemExit:
    pass
print([name for name in ("fastapi", "uvicorn", "psutil", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert args[-1] == "-1" or "serve" in done.stdout
