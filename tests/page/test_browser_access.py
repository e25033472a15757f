"""Every state of the page for everybody: checked by axe-core in light, in dark and on a phone, and no wider than it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from page import browsing
from page.client import Client
from page.clips import LABELS, Clips
from page.person import WAIT_MS, add_videos, go_to, panel
from page.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.page
THREE = [*LABELS[:3]]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "color_scheme": "light"},
    "dark phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "color_scheme": "dark"},
}


@dataclass(frozen=True)
class Jobs:
    """Ids of jobs in every state."""

    predict: str
    timeline: str
    several: str
    teach: str
    failed: str
    cancelled: str
    without_video: str


@pytest.fixture(scope="module")
def jobs(server: Running, clips: Clips) -> Jobs:
    """What a server holds after a while."""
    client: Client = server.client
    client.forget()
    ids = {label: [client.upload(clips.clip(label, n))["id"] for n in range(2)] for label in THREE}
    three, gone = client.upload(clips.three), client.upload(clips.three, "gone.mp4")
    first = [some[0] for some in ids.values()]
    classes = [{"name": label, "clips": [{"video": one} for one in some]} for label, some in ids.items()]
    timeline = {"video": three["id"], "labels": THREE}
    lost = client.work("/api/timeline", {**timeline, "video": gone["id"]})
    client.delete(f"/api/videos/{gone['id']}")
    slow = client.post("/api/timeline", {"video": client.upload(clips.minutes)["id"], "labels": THREE, "hop_s": 0.05})
    client.wait(slow, "running")
    client.delete(f"/api/jobs/{slow['id']}", 202)
    assert client.wait(slow)["state"] == "cancelled"
    failed = client.wait(client.post("/api/timeline", {**timeline, "labels": ["a word " * 28]}))
    assert failed["state"] == "failed"
    return Jobs(
        predict=client.work("/api/predict", {"videos": first, "labels": THREE, "none": True})["id"],
        timeline=client.work("/api/timeline", timeline)["id"],
        several=client.work("/api/timeline", {**timeline, "independent": True})["id"],
        teach=client.work("/api/teach", {"name": "Three actions", "classes": classes})["id"],
        failed=failed["id"], cancelled=slow["id"], without_video=lost["id"],
    )  # fmt: skip


@pytest.fixture(params=LOOKS)
def look(
    request: pytest.FixtureRequest, browser: "Browser", server: Running, jobs: Jobs, wrong: list[str]
) -> Iterator["Page"]:
    """The page as somebody sees it, with axe-core in it."""
    if not browsing.AXE.is_file():
        browsing.missing(f"axe-core is not installed: {browsing.AXE} is missing; `make test-page` installs it by npm")
    with browsing.watched(browser, server.opened, wrong, reduced_motion="reduce", **LOOKS[request.param]) as context:
        context.add_init_script(path=browsing.AXE)
        page = context.new_page()
        page.goto(server.opened)
        yield page


def check(page: "Page", where: str) -> None:
    """Fails if axe-core finds something serious, or the page is wider than the screen."""
    seen = page.viewport_size
    assert seen
    height = page.evaluate("() => document.documentElement.scrollHeight")
    page.set_viewport_size({**seen, "height": height})  # what stays at the lower edge covers nothing then
    page.wait_for_timeout(150)  # what appears by degrees is there
    found = page.evaluate("(rules) => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", RULES)[
        "violations"
    ]
    lines = [
        f"{one['impact']} {one['id']}: {node['target']} {node['html'][:150]} {node['failureSummary'][:300]}"
        for one in found
        for node in one["nodes"]
    ]
    assert [line for line in lines if line.startswith(("serious", "critical"))] == [], where
    wide = page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1], f"{where}: {wide[0]} px on a screen of {wide[1]} px"
    page.set_viewport_size(seen)
    for line in lines:
        print(f"{where}: {line}")


def open_job(page: "Page", tab: str, job: str) -> "Page":
    page.evaluate("(hash) => { location.hash = hash; }", f"#{tab.lower()}/{job}")
    return panel(page, tab)


def test_the_empty_tabs(look: "Page"):
    for tab in ("Recognise", "Timeline", "Teach"):
        go_to(look, tab)
        look.get_by_role("main").get_by_role("heading").first.wait_for()
        check(look, tab)


def test_forms_that_are_filled_in_and_wrong(look: "Page", clips: Clips):
    where = go_to(look, "Recognise")
    where.get_by_role("button", name="Recognise", exact=True).click()
    where.get_by_role("alert").wait_for()
    field = where.get_by_role("textbox", name="What to look for")
    for _ in range(2):
        field.fill("a person jumps")
        field.press("Enter")
    add_videos(where, clips.avi)
    check(look, "Recognise, filled in")
    where = go_to(look, "Timeline")
    where.get_by_text("More options").click()
    check(look, "Timeline, more options")
    where = go_to(look, "Teach")
    where.get_by_role("textbox", name="Action 1").fill("jumping")
    where.get_by_role("button", name="Teach", exact=True).click()
    where.get_by_role("button", name="Add “nothing in particular”").click()
    where.get_by_text("Mark spans in a long video").click()
    check(look, "Teach, filled in")
    look.get_by_role("button", name="Stored: ").click()
    look.get_by_role("dialog").get_by_text("three.mp4").first.wait_for()
    check(look, "stored videos")


def test_results(look: "Page", jobs: Jobs, wrong: list[str]):
    open_job(look, "Recognise", jobs.predict).get_by_role("article").nth(2).wait_for(timeout=WAIT_MS)
    check(look, "Recognise, result")
    for job in (jobs.timeline, jobs.several, jobs.without_video):
        where = open_job(look, "Timeline", job)
        where.get_by_role("slider", name="Segments of the timeline").wait_for(timeout=WAIT_MS)
        check(look, "Timeline, result")
    browsing.forgive(wrong, "404")  # the video that was deleted
    where = open_job(look, "Teach", jobs.teach)
    where.get_by_role("heading", name="“Three actions” is ready").wait_for(timeout=WAIT_MS)
    check(look, "Teach, result")


def test_jobs_that_did_not_end_well(look: "Page", jobs: Jobs):
    for job, text in ((jobs.failed, "This did not work"), (jobs.cancelled, "Cancelled")):
        open_job(look, "Timeline", job).get_by_text(text).first.wait_for()
        check(look, text)


def test_the_reference(look: "Page", server: Running):
    look.goto(f"{server.client.url}/docs")
    look.get_by_role("heading").first.wait_for()
    check(look, "reference")


def test_words_without_end_stay_inside(
    browser: "Browser", server: Running, clips: Clips, wrong: list[str], tmp_path: Path
):
    long = tmp_path / f"{'a' * 180}.mp4"
    long.write_bytes(clips.clip(THREE[0]).read_bytes())
    with browsing.watched(browser, server.opened, wrong, **LOOKS["phone"]) as context:
        page = context.new_page()
        page.goto(server.opened)
        where = go_to(page, "Recognise")
        add_videos(where, long)
        field = where.get_by_role("textbox", name="What to look for")
        field.fill("b" * 190)
        field.press("Enter")
        page.get_by_role("button", name="Stored: ").click()
        page.get_by_role("dialog").get_by_text(long.name).wait_for()
        wide = page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1]
