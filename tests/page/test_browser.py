"""The whole way in a real browser: what a person sees and does on the page."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from page import browsing
from page.client import Client
from page.clips import LABELS, Clips
from page.person import WAIT_MS, add_labels, add_videos, find, go_to, panel, time_of, until, until_at
from page.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.page
THREE = LABELS[:3]


def test_clips_are_recognised(page: "Page", clips: Clips, tmp_path: Path):
    where = go_to(page, "Recognise")
    add_videos(where, clips.clip(THREE[0]), clips.clip(THREE[1]))
    add_labels(where, *THREE)
    where.get_by_role("button", name="Recognise", exact=True).click()
    results = where.get_by_role("region", name="Results")
    for label in THREE[:2]:
        result = results.get_by_role("article").filter(has_text=clips.clip(label).name)
        result.get_by_role("heading", name=label).wait_for(timeout=WAIT_MS)
        scores = result.get_by_role("list", name="Scores").get_by_role("listitem")
        assert label in scores.first.inner_text()
        assert "%" in scores.first.inner_text()
    assert page.get_by_text("say nothing about your videos").first.is_visible()
    with page.expect_download() as caught:
        results.get_by_role("link", name="CSV").click()
    caught.value.save_as(tmp_path / "found.csv")
    assert clips.clip(THREE[0]).name in (tmp_path / "found.csv").read_text()
    with page.expect_download() as caught:
        results.get_by_role("link", name="JSON").click()
    caught.value.save_as(tmp_path / "found.json")
    assert len(json.loads((tmp_path / "found.json").read_text())["predictions"]) == 2
    page.reload()
    results.get_by_role("heading", name=THREE[0]).wait_for()


def test_labels_are_typed_pasted_refused_twice_and_removed(page: "Page"):
    where = go_to(page, "Recognise")
    field = where.get_by_role("textbox", name="What to look for")
    labels = where.get_by_role("list", name="What to look for").get_by_role("listitem")
    field.press_sequentially("jumping, running,")
    field.fill("sleeping")
    field.press("Enter")
    assert [text.strip() for text in labels.all_inner_texts()] == ["jumping", "running", "sleeping"]
    field.evaluate(
        """(field, text) => {
            const data = new DataTransfer();
            data.setData("text", text);
            field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }""",
        "eating\nreading a book, writing\n",
    )
    assert labels.count() == 6
    field.fill("Jumping")
    field.press("Enter")
    assert labels.count() == 6
    assert where.get_by_text("is in the list already").is_visible()
    field.press("Backspace")
    where.get_by_role("button", name="Remove running").click()
    assert [text.strip() for text in labels.all_inner_texts()] == ["jumping", "sleeping", "eating", "reading a book"]
    page.reload()
    until(lambda: labels.count() == 4)


def test_what_is_missing_is_said_where_it_is_missing(page: "Page", clips: Clips):
    where = go_to(page, "Recognise")
    where.get_by_role("button", name="Recognise", exact=True).click()
    assert "at least one label" in where.get_by_role("alert").inner_text()
    add_labels(where, "jumping")
    where.get_by_role("button", name="Recognise", exact=True).click()
    assert "Add a video" in where.get_by_role("alert").inner_text()
    where = go_to(page, "Timeline")
    where.get_by_role("button", name="Find", exact=True).click()
    assert "at least one label" in where.get_by_role("alert").inner_text()


def test_a_click_on_a_segment_moves_the_video_there(page: "Page", client: Client, clips: Clips, tmp_path: Path):
    where = go_to(page, "Timeline")
    slider = find(where, clips.three, *THREE)
    (job,) = client.get("/api/jobs")
    segments = client.result(job)["segments"]
    assert [one["label"] for one in segments] == [*THREE]
    until(lambda: page.locator("video").evaluate("video => video.readyState") >= 2)
    box = slider.bounding_box()
    assert box
    edge = 46  # of the lanes: left of it are names
    for segment in (segments[2], segments[1], segments[0]):
        middle = (segment["start_s"] + segment["end_s"]) / 2 / 12
        slider.click(position={"x": edge + middle * (box["width"] - edge), "y": 10})
        until_at(page, segment["start_s"])
        assert segment["label"] in (slider.get_attribute("aria-valuetext") or "")
    rows = where.get_by_role("table").get_by_role("row").filter(has_text=THREE[1])
    rows.get_by_role("button").first.click()
    until_at(page, segments[1]["start_s"])
    downloads = {"CSV": "csv", "JSON": "json", "VTT": "vtt", "PNG": "png"}
    for name, ending in downloads.items():
        with page.expect_download() as caught:
            where.get_by_role("link", name=name).click()
        assert caught.value.suggested_filename.endswith(f".{ending}")
        caught.value.save_as(tmp_path / f"found.{ending}")
    rows_of_file = csv.DictReader((tmp_path / "found.csv").read_text().splitlines())
    assert [row["label"] for row in rows_of_file] == [*THREE]
    where.get_by_role("button", name="Make a video with labels").click()
    where.get_by_role("link", name="MP4").wait_for(timeout=WAIT_MS)


def test_the_video_plays_and_the_timeline_follows(page: "Page", clips: Clips):
    where = go_to(page, "Timeline")
    find(where, clips.three, *THREE)
    where.get_by_role("button", name="Play", exact=True).click()
    until(lambda: time_of(page) > 0.5)
    where.get_by_role("button", name="Pause", exact=True).click()
    stopped = time_of(page)
    page.wait_for_timeout(300)
    assert time_of(page) == pytest.approx(stopped, abs=0.1)


def test_a_video_that_no_browser_plays_is_shown_by_a_copy(page: "Page", client: Client, clips: Clips):
    where = go_to(page, "Timeline")
    find(where, clips.avi, *THREE)
    video = page.locator("video:visible")
    video.wait_for(timeout=WAIT_MS)
    until(lambda: video.evaluate("video => video.readyState >= 2 && video.videoWidth > 0"), 30)
    assert video.evaluate("video => video.currentSrc").endswith("/preview")
    assert where.get_by_text("This is a copy").is_visible()
    (job,) = [one for one in client.get("/api/jobs") if one["kind"] == "timeline"]
    last = client.result(job)["segments"][-1]
    where.get_by_role("table").get_by_role("row").last.get_by_role("button").first.click()
    until_at(page, last["start_s"])


def test_two_actions_are_taught_and_used_in_both_tabs(page: "Page", client: Client, clips: Clips):
    where = go_to(page, "Teach")
    one, two = LABELS[1], LABELS[3]
    for number, label in enumerate((one, two), start=1):
        where.get_by_role("textbox", name=f"Action {number}").fill(label)
        add_videos(where.get_by_role("group", name=f"Action {number}"), *(clips.clip(label, n) for n in range(3)))
    where.get_by_role("textbox", name="Name of the model").fill("My two actions")
    where.get_by_role("button", name="Teach", exact=True).click()
    where.get_by_role("heading", name="“My two actions” is ready").wait_for(timeout=WAIT_MS)
    (job,) = client.get("/api/jobs")
    right = client.result(job)["held_out"]
    assert where.get_by_text(f"of {right['num_clips']} clips").first.is_visible()

    where.get_by_role("button", name="Use it on a clip").first.click()
    where = panel(page, "Recognise")
    chosen = where.get_by_role("combobox").locator("option:checked")
    until(lambda: chosen.inner_text().startswith("My two actions"))
    add_videos(where, clips.clip(one, 3))
    where.get_by_role("button", name="Recognise", exact=True).click()
    where.get_by_role("region", name="Results").get_by_role("heading", name=one).wait_for(timeout=WAIT_MS)

    where = go_to(page, "Timeline")
    where.get_by_role("combobox").select_option(label="My two actions (2 labels)")
    add_videos(where, clips.three)
    where.get_by_role("button", name="Find", exact=True).click()
    where.get_by_role("slider", name="Segments of the timeline").wait_for(timeout=WAIT_MS)
    assert client.result(client.get("/api/jobs")[0])["labels"] == [one, two]

    where = go_to(page, "Teach")
    where.get_by_role("button", name="Delete: My two actions").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    where.get_by_text("None yet").wait_for()
    assert [model["id"] for model in client.get("/api/models")["models"]] == ["zero-shot"]


@pytest.fixture
def slow(page: "Page", clips: Clips) -> "Page":
    """The tab Timeline with a job that works for many seconds."""
    where = go_to(page, "Timeline")
    add_videos(where, clips.minutes)
    add_labels(where, *THREE)
    where.get_by_text("More options").click()
    where.get_by_label("Look again every").fill("0.05")
    where.get_by_role("button", name="Find", exact=True).click()
    where.get_by_text("Windows: ").wait_for(timeout=WAIT_MS)
    return page


def test_a_job_is_cancelled(slow: "Page", client: Client):
    where = panel(slow, "Timeline")
    where.get_by_role("button", name="Cancel", exact=True).click()
    where.get_by_role("region", name="State").get_by_text("Cancelled").first.wait_for()
    assert [job["state"] for job in client.get("/api/jobs")] == ["cancelled"]
    assert where.get_by_role("button", name="Find", exact=True).is_enabled()


def test_a_job_is_still_there_after_a_reload_and_in_a_second_tab(
    slow: "Page", context: "BrowserContext", client: Client
):
    slow.reload()
    panel(slow, "Timeline").get_by_text("Windows: ").wait_for()
    assert panel(slow, "Timeline").get_by_role("listitem").filter(has_text=THREE[0]).count() >= 1
    other = context.new_page()
    other.goto(slow.url)
    panel(other, "Timeline").get_by_text("Windows: ").wait_for()
    panel(other, "Timeline").get_by_role("button", name="Cancel", exact=True).click()
    for page in (slow, other):
        state = panel(page, "Timeline").get_by_role("region", name="State")
        state.get_by_text("Cancelled").first.wait_for()
    assert len(client.get("/api/jobs")) == 1


def test_two_tabs_at_once_have_questions_of_their_own(
    page: "Page", context: "BrowserContext", server: Running, clips: Clips
):
    pages = [page, context.new_page()]
    pages[1].goto(server.opened)
    for one, label in zip(pages, THREE, strict=False):
        where = go_to(one, "Recognise")
        add_videos(where, clips.clip(label))
        add_labels(where, label, "sleeping")
    for one in pages:
        panel(one, "Recognise").get_by_role("button", name="Recognise", exact=True).click()
    for one, label in zip(pages, THREE, strict=False):
        results = panel(one, "Recognise").get_by_role("region", name="Results")
        results.get_by_role("heading", name=label).wait_for(timeout=WAIT_MS)
        assert results.get_by_role("article").count() == 1


def test_a_file_that_is_no_video_is_refused_by_name(
    page: "Page", client: Client, wrong: list[str], tmp_path: Path, clips: Clips
):
    bad = tmp_path / "notes.mp4"
    bad.write_text("no video")
    where = go_to(page, "Recognise")
    where.get_by_label("choose").first.set_input_files([bad, clips.clip(THREE[0])])
    item = where.get_by_role("list", name="Videos").get_by_role("listitem").filter(has_text="notes.mp4")
    reason = client.try_upload(bad, bad.name).error.removeprefix("notes.mp4: ")
    item.get_by_text(reason).wait_for()
    where.get_by_role("button", name=f"Remove {clips.clip(THREE[0]).name}").wait_for()
    item.get_by_role("button", name="Remove notes.mp4").click()
    assert where.get_by_role("list", name="Videos").get_by_role("listitem").count() == 1
    browsing.forgive(wrong, "415")


def test_everything_goes_by_keyboard(page: "Page", client: Client, clips: Clips):
    page.on("filechooser", lambda _: None)  # from now on it is told of, and not when the key is pressed already
    page.get_by_role("tab", name="Recognise").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Timeline").get_attribute("aria-selected") == "true"
    where = panel(page, "Timeline")

    def reach(name: str, most: int = 40) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            label = page.evaluate(
                """() => {
                    const node = document.activeElement;
                    const labels = [...node.labels ?? []].map((one) => one.innerText);
                    return [node.ariaLabel, ...labels, node.matches("a, button, summary") ? node.innerText : ""].join();
                }"""
            )
            if name in label:
                return
        raise AssertionError(f"Tab never reaches {name!r}")

    reach("choose one")
    with page.expect_file_chooser() as caught:
        page.keyboard.press("Enter")
    caught.value.set_files(clips.three)
    where.get_by_role("button", name="Remove three.mp4").wait_for()
    reach("What to look for")
    for label in THREE:
        page.keyboard.type(label)
        page.keyboard.press("Enter")
    reach("Find")
    page.keyboard.press("Enter")
    slider = where.get_by_role("slider", name="Segments of the timeline")
    slider.wait_for(timeout=WAIT_MS)
    segments = client.result(client.get("/api/jobs")[0])["segments"]
    until(lambda: page.locator("video").evaluate("video => video.readyState") >= 2)
    slider.focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    until_at(page, segments[2]["start_s"])
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    until_at(page, segments[1]["start_s"])


@pytest.mark.parametrize("text", ["<img src=x onerror=document.title=1>", "\N{RIGHT-TO-LEFT OVERRIDE}&lt;b&gt;\"'"])
def test_names_are_text_wherever_they_are_shown(page: "Page", clips: Clips, tmp_path: Path, text: str):
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog was opened: {dialog.message}"))
    video = tmp_path / f"{text}.mp4"
    video.write_bytes(clips.three.read_bytes())
    where = go_to(page, "Timeline")
    find(where, video, text, THREE[0])
    assert where.get_by_role("heading", name=text).first.is_visible()
    slider = where.get_by_role("slider", name="Segments of the timeline")
    slider.hover(position={"x": 200, "y": 10})
    where = go_to(page, "Recognise")
    add_videos(where, video)
    add_labels(where, text, THREE[0])
    where.get_by_role("button", name="Recognise", exact=True).click()
    where.get_by_role("region", name="Results").get_by_text(text).first.wait_for(timeout=WAIT_MS)
    where = go_to(page, "Teach")
    where.get_by_role("textbox", name="Action 1").fill(text)
    page.get_by_role("button", name="Stored: ").click()
    page.get_by_role("dialog").get_by_text(text).first.wait_for()
    assert page.locator("img[src='x'], b").count() == 0
    assert page.title() != "1"


def test_a_server_that_stopped_is_said_and_found_again(
    browser: "Browser", start, wrong: list[str], clips: Clips, tmp_path: Path
):
    one = start()
    with browsing.watched(browser, one.opened, wrong) as context:
        page = context.new_page()
        page.goto(one.opened)
        where = go_to(page, "Timeline")
        find(where, clips.three, *THREE[:2])
        one.interrupt()
        page.get_by_role("tab", name="Recognise").click()
        said = page.get_by_text("The server does not answer")
        said.wait_for()
        start("--port", str(one.client.address[1]))
        said.wait_for(state="hidden", timeout=WAIT_MS)
        browsing.forgive(wrong, "ERR_CONNECTION_REFUSED")
        wrong[:] = [line for line in wrong if "404" not in line]  # the new server has no such job


def test_a_page_with_a_token(browser: "Browser", start, wrong: list[str], clips: Clips):
    one = start("--token")
    with browsing.watched(browser, one.opened, wrong) as context:
        page = context.new_page()
        page.goto(one.client.url)
        assert page.get_by_role("heading", name="A token is needed").is_visible()
        browsing.forgive(wrong, "401")
        page.goto(one.opened)
        assert "token" not in page.url
        find(go_to(page, "Timeline"), clips.three, *THREE)
        until(lambda: page.locator("video").evaluate("video => video.readyState") >= 2)
        page.goto(one.client.url)
        page.get_by_role("tab", name="Teach").wait_for()
