"""What the tests of the page share: one server and one browser for all of them, and clips that are drawn once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from page import browsing, running
from page.client import Client
from page.clips import Clips
from page.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a small quota and a short queue. At the end it leaves nothing."""
    made = running.start(tmp_path_factory.mktemp("server"), "--max-mb", "40", "--max-queue", "4")
    yield made
    try:
        assert made.process.poll() is None, f"the server has ended; it said: {made.lines[-20:]}"
        made.client.call("GET", "/api/server")
        assert made.interrupt() == 0, made.lines[-20:]
        assert made.temporary == []
    finally:
        made.close()


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    """A client of the server, which holds nothing at the start of a test."""
    server.client.forget()
    yield server.client
    assert server.process.poll() is None, f"the server has ended; it said: {server.lines[-20:]}"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts further servers, with options of their own; they end with the test."""
    made: list[Running] = []

    def start_one(*options: str, folder: Path = tmp_path, **environment: str) -> Running:
        made.append(running.start(folder, *options, **environment))
        return made[-1]

    yield start_one
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """For a file of tests: while Playwright runs, no test can call asyncio.run."""
    with browsing.started() as found:
        yield found


@pytest.fixture
def wrong() -> list[str]:
    """What went wrong in the browser; the test fails unless it is empty at its end. See `browsing.forgive`."""
    return []


@pytest.fixture
def context(browser: "Browser", server: Running, client: Client, wrong: list[str]) -> Iterator["BrowserContext"]:
    """A person's browser, with tabs that share a server which holds nothing yet."""
    with browsing.watched(browser, server.opened, wrong) as made:
        yield made


@pytest.fixture
def page(context: "BrowserContext", server: Running) -> "Page":
    """The page, opened."""
    made = context.new_page()
    made.goto(server.opened)
    return made
