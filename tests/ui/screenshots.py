"""Photographs the page: `python -m tests.ui.screenshots OUTDIR [--picture FILE]...`.

Takes the shipped models, and one of random weights where they are few, and writes a PNG for each
state of the page on a desktop and on a phone, light and dark.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page

import app
from fakeface.page.examples import read_examples
from tests.ui.serve import (
    AT_REST,
    CHROMIUM,
    NO_BROWSER,
    chromium,
    models_for_tests,
    random_checkpoint,
    served,
    with_curve,
)

WINDOWS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone-dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


def states(page: Page, pictures: list[Path]) -> Iterator[str]:
    """Bring the page from one state to the next, and name each."""
    page.locator(".examples img").last.wait_for()
    yield "start"
    page.get_by_role("button", name="Grace Hopper").click()
    page.locator(".face").first.wait_for()
    yield "verdict"
    page.get_by_role("button", name="Measure how faithful").first.click()
    page.locator(".faithful").first.wait_for()
    yield "faithful"
    page.get_by_role("button", name="Empty room").click()
    page.get_by_text("No face found", exact=True).wait_for()
    yield "no-face"
    page.get_by_label("Or the address of a picture on the web").fill("http://10.0.0.1/a.jpg")
    page.keyboard.press("Enter")
    page.locator(".ff-result.error").wait_for()
    yield "error"
    for picture in pictures:
        page.locator("#drop input[type=file]").set_input_files(picture)
        page.locator("#answer .facts .name", has_text=picture.name).wait_for()
        yield picture.stem
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-drop").get_by_role("button", name="Face swap").click()
    page.locator("#compared .model").first.wait_for()
    yield "compare"
    page.get_by_role("tab", name="Batch").click()
    examples = [example.path for example in read_examples(app.EXAMPLES)]
    page.locator("#pick input").set_input_files([*examples, Path(__file__)])
    page.locator("#table .status", has_text=f"{len(examples) + 1} files").wait_for()
    yield "batch"
    page.get_by_role("tab", name="Models").click()
    page.locator(".model-card").first.wait_for()
    yield "models"


def photograph(browser: Browser, url: str, out: Path, pictures: list[Path]) -> None:
    """Write all screenshots into `out`."""
    for window, options in WINDOWS.items():
        context = browser.new_context(**options, reduced_motion="reduce")
        context.set_default_timeout(90_000)
        page = context.new_page()
        page.goto(url)
        for state in states(page, pictures):
            page.wait_for_function(AT_REST)
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
    if not CHROMIUM:
        parser.error(NO_BROWSER)
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        models = models_for_tests(scratch / "models")
        if len(list(models.iterdir())) < 2:  # or there is nothing to compare
            with_curve(random_checkpoint(models))
        with served(scratch, models) as url, chromium() as browser:
            photograph(browser, url, options.out, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
