"""Screenshots of the page for docs/, of clips that ActionWorld draws: `make page-screenshots` writes them anew."""

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from page import browsing, running
from page.clips import LABELS, Clips
from page.person import WAIT_MS, go_to, until

SIZE = {"width": 1280, "height": 1100}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "is_mobile": True, "has_touch": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": SIZE},
    "dark": {"color_scheme": "dark", "viewport": SIZE},
    "phone": {"color_scheme": "light", **PHONE},
}
MOST_BYTES = 200_000
LOADED = "video => video.readyState === HTMLMediaElement.HAVE_ENOUGH_DATA && !video.seeking"


def main(folder: Path) -> None:
    """Write NAME-LOOK.png of every state in every look."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, browsing.started() as browser:
        clips = Clips(Path(place), size_px=336)
        server = running.start(Path(place) / "server")
        try:
            jobs = _work(server, clips)
            for look, options in LOOKS.items():
                wrong: list[str] = []
                with browsing.watched(browser, server.opened, wrong, reduced_motion="reduce", **options) as context:
                    page = context.new_page()
                    page.goto(server.opened)
                    _take(page, jobs, folder, look)
        finally:
            server.close()


def _work(server: running.Running, clips: Clips) -> dict[str, str]:
    """Ids of the jobs that are shown."""
    client = server.client
    three = client.upload(clips.three, "training-session.mp4")["id"]
    ids = {label: [client.upload(clips.clip(label, number))["id"] for number in range(5)] for label in LABELS}
    classes = [{"name": label, "clips": [{"video": one} for one in some]} for label, some in ids.items()]
    asked = {
        "recognise": ("predict", {"videos": [some[0] for some in ids.values()][:3], "labels": [*LABELS]}),
        "timeline": ("timeline", {"video": three, "labels": [*LABELS[:3], "running"]}),
        "teach": ("teach", {"name": "Gym and home", "classes": classes}),
    }
    return {tab: client.work(f"/api/{verb}", body)["id"] for tab, (verb, body) in asked.items()}


def _take(page: Any, jobs: dict[str, str], folder: Path, look: str) -> None:
    for tab in ("Recognise", "Timeline", "Teach"):
        where = go_to(page, tab)
        where.get_by_role("heading").first.wait_for()
        page.evaluate("(hash) => { location.hash = hash; }", f"#{tab.lower()}/{jobs[tab.lower()]}")
        if tab == "Recognise":
            where.get_by_role("article").nth(2).wait_for(timeout=WAIT_MS)
        elif tab == "Timeline":
            slider = where.get_by_role("slider", name="Segments of the timeline")
            slider.wait_for(timeout=WAIT_MS)
            until(lambda: page.locator("video").evaluate(LOADED), 30)
            where.get_by_role("table").get_by_role("row").nth(2).get_by_role("button").first.click()
            until(lambda: page.locator("video").evaluate(LOADED), 30)
        else:
            where.get_by_role("heading", name="is ready").wait_for(timeout=WAIT_MS)
        page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
        if look == "phone" and tab == "Recognise":
            where.get_by_role("region", name="Results").evaluate("node => node.scrollIntoView()")
        if look == "phone" and tab == "Timeline":
            page.locator("video").evaluate("node => node.scrollIntoView()")
        page.wait_for_timeout(1500)  # the player's own signs have gone
        _save(page.screenshot(), folder / f"{tab.lower()}-{look}.png")


def _save(shot: bytes, path: Path) -> None:
    """With 256 colours where all of them would take too much."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    image.save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < MOST_BYTES, f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
