"""What a person does on the page, by the names that are read there."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

WAIT_MS = 60_000
"""For a job on a computer that is busy."""


def go_to(page: "Page", tab: str) -> "Locator":
    """Opens a tab; its panel."""
    page.get_by_role("tab", name=tab).click()
    return panel(page, tab)


def panel(page: "Page", tab: str) -> "Locator":
    return page.get_by_role("tabpanel", name=tab)


def add_videos(where: "Locator", *paths: Path) -> None:
    """Chooses files, and waits until they are uploaded."""
    where.get_by_label("choose").first.set_input_files([*paths])
    uploads = where.get_by_role("list", name="Videos").first
    for path in paths:
        uploads.get_by_role("button", name=f"Remove {path.name}").wait_for()


def add_labels(where: "Locator", *labels: str) -> None:
    field = where.get_by_role("textbox", name="What to look for")
    for label in labels:
        field.fill(label)
        field.press("Enter")


def find(where: "Locator", video: Path, *labels: str) -> "Locator":
    """Makes a timeline; its slider."""
    add_videos(where, video)
    add_labels(where, *labels)
    where.get_by_role("button", name="Find", exact=True).click()
    slider = where.get_by_role("slider", name="Segments of the timeline")
    slider.wait_for(timeout=WAIT_MS)
    return slider


def time_of(page: "Page") -> float:
    """Where the video is, in seconds."""
    return page.locator("video:visible").evaluate("video => video.currentTime")


def until(true: Callable[[], bool], timeout_s: float = 10) -> None:
    """Waits until something is true; AssertionError if it does not come."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"not so within {timeout_s:g} s"
        time.sleep(0.05)


def until_at(page: "Page", time_s: float) -> None:
    """Waits until the video is at a time, give or take 0.1 s."""
    try:
        until(lambda: abs(time_of(page) - time_s) < 0.1)
    except AssertionError:
        raise AssertionError(f"expected the video at {time_s:g} s, it is at {time_of(page):g} s") from None
