"""Photographs the page: `python -m tests.ui.screenshots OUTDIR [--picture FILE]...`.

Takes the shipped models, else one of random weights, and writes a PNG for each state of the page on
a desktop, on a phone and in the dark.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page

from tests.ui.serve import CHROMIUM, chromium, models_for_tests, served

WINDOWS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}


def states(page: Page, pictures: list[Path]) -> Iterator[str]:
    """Bring the page from one state to the next, and name each."""
    settled = "#answer [data-testid=status-tracker].hide"
    page.locator(".examples img").last.wait_for()
    yield "start"
    page.get_by_role("button", name="Grace Hopper").click()
    page.locator(".face").first.wait_for()
    page.locator(settled).wait_for(state="attached")
    yield "verdict"
    page.get_by_role("button", name="Empty room").click()
    page.get_by_text("No face found", exact=True).wait_for()
    page.locator(settled).wait_for(state="attached")
    yield "no-face"
    page.locator("#drop input").set_input_files(
        {"name": "holiday.jpg", "mimeType": "", "buffer": b"no picture"}
    )
    page.locator(".ff-result.error").wait_for()
    page.locator(settled).wait_for(state="attached")
    yield "error"
    for picture in pictures:
        page.locator("#drop input").set_input_files(picture)
        page.locator(".facts .name", has_text=picture.name).wait_for()
        page.locator(settled).wait_for(state="attached")
        yield picture.stem


def photograph(browser: Browser, url: str, out: Path, pictures: list[Path]) -> None:
    """Write all screenshots into `out`."""
    for window, options in WINDOWS.items():
        context = browser.new_context(**options, reduced_motion="reduce")
        context.set_default_timeout(90_000)
        page = context.new_page()
        page.goto(url)
        for state in states(page, pictures):
            path = out / f"{window}-{state}.png"
            page.screenshot(path=path, full_page=True, animations="disabled")
            print(path)
        context.close()


def main() -> int:
    """Parse the command line, start the page and photograph it."""
    parser = argparse.ArgumentParser(description="Photographs the page in all its states.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--picture", type=Path, action="append", default=[], help="one more photo")
    options = parser.parse_args()
    if not CHROMIUM.exists():
        parser.error(f"there is no {CHROMIUM}")
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        models = models_for_tests(scratch / "models")
        with served(scratch, models) as url, chromium() as browser:
            photograph(browser, url, options.out, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
