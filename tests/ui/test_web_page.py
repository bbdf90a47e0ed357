"""The page in the browser as people use it: no upload, without a network, on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.ui.static import Site, served
from tests.ui.test_web_parity import HOPPER, PICTURES

pytestmark = pytest.mark.ui

Open = Callable[..., Page]
PATIENCE = 120_000  # milliseconds; only a test that fails ever waits that long
expect.set_options(timeout=PATIENCE)
VERDICT = re.compile("^One face: (AI-generated|no sign of AI found|unsure)$")


@pytest.fixture
def site(browser: Browser, static_folder: Path) -> Iterator[Site]:
    """The page on a static server."""
    with served(static_folder) as found:
        yield found


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Open]:
    """Opens the page in a window of its own; nothing may go out, and nothing may go wrong."""
    contexts, wrong = [], []

    def watch(request: Any) -> None:
        host = urlsplit(request.url)
        if host.scheme != "blob" and f"{host.scheme}://{host.netloc}/" != site.url:
            wrong.append(f"outside request: {request.url}")
        if request.method != "GET" or request.post_data:
            wrong.append(f"something was sent: {request.method} {request.url}")

    def open_it(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.on("request", watch)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.goto(site.url)
        expect(page.get_by_text("No photo yet")).to_be_visible()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not wrong
    assert all(method == "GET" and not length for method, _, length in site.asked)


def choose(page: Page, data: bytes, name: str) -> None:
    page.locator("#file").set_input_files({"name": name, "mimeType": "", "buffer": data})


def test_a_photo_is_judged_and_never_sent(open_page: Open, site: Site):
    page = open_page()
    expect(page.locator("#offline")).to_contain_text("without a network")
    asked = len(site.asked)
    choose(page, HOPPER.read_bytes(), "portrait.jpg")
    expect(page.locator(".status")).to_have_text(VERDICT)
    face = page.locator(".face")
    expect(face).to_have_count(1)
    expect(face.locator(".p strong")).to_have_text(re.compile(r"\d+ %$"))
    expect(page.locator(".box")).to_have_count(1)
    expect(page.locator("#shown")).to_contain_text("Evidence, not proof.")
    expect(page.locator("[data-fact=file]")).to_have_text("portrait.jpg")
    assert len(site.asked) == asked, "judging asks the host for nothing"


def test_it_works_without_a_network_once_loaded(open_page: Open):
    page = open_page()
    expect(page.locator("#offline")).to_contain_text("without a network")
    page.context.set_offline(True)
    page.reload()
    expect(page.get_by_text("No photo yet")).to_be_visible()
    page.get_by_role("button", name="Grace Hopper").click()
    expect(page.locator(".status")).to_have_text(VERDICT)
    assert page.evaluate("self.crossOriginIsolated"), "kept files allow threads on any host"


def test_several_faces_are_marked_and_told_of_together(open_page: Open):
    page = open_page()
    choose(page, PICTURES["group"](), "group.jpg")
    expect(page.locator(".status")).to_contain_text("faces, the most suspicious one:")
    count = page.locator(".face").count()
    assert count > 2 and page.locator("a.box").count() == count
    expect(page.locator(".whole")).to_contain_text(f"of {count} faces look")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"no picture", "This is no picture that this browser can read"),
        (HOPPER.read_bytes()[:3000], "This is no picture that this browser can read"),
        (b"", "This is no picture that this browser can read"),
        (bytes(33 << 20), "This file is larger than 32 MiB"),
    ],
)
def test_an_error_is_one_sentence_and_the_page_goes_on(data, sentence, open_page: Open):
    page = open_page()
    choose(page, data, "<b>x</b>.jpg")
    expect(page.locator(".status")).to_contain_text(sentence)
    expect(page.locator("#answer.error .name")).to_have_text("<b>x</b>.jpg")
    page.get_by_role("button", name="Empty room").click()
    expect(page.locator(".status")).to_have_text("No face found")
    expect(page.locator("#shown")).to_contain_text("There is nothing to judge")


def test_faces_too_small_are_drawn_and_not_judged(open_page: Open):
    page = open_page()
    choose(
        page,
        (Path(__file__).parents[1] / "data/cases/group_54_faces_too_small.jpg").read_bytes(),
        "g.jpg",
    )
    expect(page.locator("#shown")).to_contain_text("Found too small to judge (under 40 pixels)")
    assert page.locator("i.box.small").count() > 10


def test_the_last_photo_chosen_is_the_one_answered(open_page: Open):
    page = open_page()
    choose(page, PICTURES["group"](), "first.jpg")
    choose(page, HOPPER.read_bytes(), "second.jpg")
    expect(page.locator("[data-fact=file]")).to_have_text("second.jpg")
    expect(page.locator(".status")).to_have_text(VERDICT)


def test_a_photo_can_be_dropped_and_pasted(open_page: Open):
    page = open_page()
    for event in ("drop", "paste"):
        page.evaluate(
            """async (event) => {
              const blob = await (await fetch("examples/grace_hopper.jpg")).blob();
              const all = new DataTransfer();
              all.items.add(new File([blob], `${event}.jpg`, { type: blob.type }));
              const Kind = { drop: DragEvent, paste: ClipboardEvent }[event];
              const how = { bubbles: true, dataTransfer: all, clipboardData: all };
              document.body.dispatchEvent(new Kind(event, { cancelable: true, ...how }));
            }""",
            event,
        )
        expect(page.locator("[data-fact=file]")).to_have_text(f"{event}.jpg")


def test_on_a_phone_nothing_is_cut_off_and_the_answer_comes_into_view(open_page: Open):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    expect(page.get_by_role("button", name="Take a photo")).to_be_visible()
    choose(page, HOPPER.read_bytes(), "portrait.jpg")
    expect(page.locator(".status")).to_have_text(VERDICT)
    expect(page.locator(".status")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(scheme, open_page: Open):
    page = open_page(color_scheme=scheme, bypass_csp=True)
    choose(page, HOPPER.read_bytes(), "portrait.jpg")
    expect(page.locator(".status")).to_have_text(VERDICT)
    found = Axe().run(page)
    assert not found.response["violations"], found.generate_report()


def test_no_other_address_can_be_asked(browser: Browser, site: Site):
    page = browser.new_page()
    page.goto(site.url)
    refused = page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => {
            resolve(event.effectiveDirective);
          });
          fetch("https://example.org/").catch(() => {});
        })"""
    )
    page.close()
    assert refused == "connect-src"
