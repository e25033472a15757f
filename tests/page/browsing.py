"""A real browser: which one, and what no page may do in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
AXE = Path(__file__).parents[2] / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"


def missing(what: str) -> None:
    """Skips the test; on a CI machine, where everything has to be there, it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def found() -> str:
    """The path of a Chromium that is installed."""
    if given := os.environ.get("ACTIONPROMPT_BROWSER"):
        return given
    for name in NAMES:
        if path := shutil.which(name):
            return path
    missing("no Chromium here: install it, or set ACTIONPROMPT_BROWSER to its path")
    raise AssertionError


@contextmanager
def started() -> Iterator["Browser"]:
    """A browser without a window."""
    path = found()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed: pip install playwright")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield made
        made.close()


@contextmanager
def watched(browser: "Browser", url: str, wrong: list[str], **options: Any) -> Iterator["BrowserContext"]:
    """A context that fails at the end if a page in it had an error, broke the Content-Security-Policy or asked another
    host. A test takes out of `wrong` what it expects."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(15_000)
    home = urlsplit(url).netloc

    def said(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"console: {message.text} {message.location.get('url', '')}".strip())

    def asked(request: "Request") -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != home:
            wrong.append(f"asked another host: {request.url}")

    def opened(page: "Page") -> None:
        page.on("crash", lambda _: wrong.append("the tab crashed"))

    context.on("console", said)
    context.on("weberror", lambda error: wrong.append(f"error: {error.error}"))
    context.on("request", asked)
    context.on("page", opened)
    yield context
    context.close()
    assert not wrong, "\n".join(wrong)


def forgive(wrong: list[str], text: str) -> None:
    """Takes out what a test expects; AssertionError if it was not there."""
    kept = [line for line in wrong if text not in line]
    assert len(kept) < len(wrong), f"expected {text!r} among {wrong}"
    wrong[:] = kept
