"""What each tab of the page is for, in a real browser."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from PIL import PngImagePlugin
from playwright.sync_api import FilePayload, Locator, Page, expect

import app
from fakeface import scan
from fakeface.models import checkpoints, zoo
from fakeface.models.evaluation_sets import set_title
from fakeface.page.errors import BUSY
from fakeface.report.record import to_dict
from fakeface.types import Verdict
from tests.page.helpers import free_port
from tests.test_html_report import analysis
from tests.ui.serve import AT_REST
from tests.ui.test_page import (
    BAD,
    DESKTOP,
    PHONE,
    PORTRAIT,
    choose,
    digest,
    encoded,
    expect_no_toast,
    expect_status,
    expect_verdict,
)

pytestmark = pytest.mark.ui

Open = Callable[..., Page]
TABS = ("Check", "Compare", "Batch", "Models")
EVIL = "<img src=x onerror=alert(1)>${alert(2)}{{x}}.jpg"


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def batch(page: Page, files: dict[str, bytes]) -> None:
    """Choose the files of a batch."""
    payloads = [FilePayload(name=n, mimeType="", buffer=data) for n, data in files.items()]
    page.locator("#pick input").set_input_files(payloads)


def archive(files: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


def saved(page: Page, button: Locator) -> str:
    """What a button gives to take along."""
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_text("utf-8-sig")  # a table begins with a mark


def audit(page: Page) -> None:
    """Run axe-core, which knows WCAG 2.2 up to AA and best practices; on what is at rest."""
    page.wait_for_function(AT_REST)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert len(found["passes"]) > 15  # it looked
    wrong = [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found["violations"]]
    assert wrong == []


# Check ----------------------------------------------------------------------------------------


def test_a_face_comes_with_all_its_evidence(open_page: Open) -> None:
    page = open_page()
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    face = page.locator(".face")
    expect(face.locator(".p")).to_contain_text("calibrated probability of being AI-generated")
    expect(face.locator(".stability tbody tr")).to_have_count(4)
    expect(face.locator(".quality")).to_contain_text(re.compile(r"\d+ pixels"))
    expect(page.locator(".provenance")).to_contain_text("absence proves nothing")
    expect(page.locator(".provenance")).to_contain_text("never changes the model's score")

    slider, heat = face.get_by_label("Opacity of the heatmap over face 1"), face.locator(".heat")
    expect(heat).to_have_css("opacity", "0.7")
    slider.focus()
    page.keyboard.press("Home")
    expect(heat).to_have_css("opacity", "0")

    face.get_by_role("button", name="Measure how faithful").click()
    expect(face.locator(".faithful")).to_contain_text(
        re.compile(r"[+-]\d\.\d\d[^%]*random[^%]*ROAD")
    )
    expect_verdict(page, digest(PORTRAIT.read_bytes()))


def test_a_report_is_taken_along(open_page: Open) -> None:
    page = open_page(*PHONE)
    choose(page, PORTRAIT.read_bytes(), EVIL)
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    html = saved(page, page.get_by_role("button", name="Report (HTML)"))
    record = json.loads(saved(page, page.get_by_role("button", name="Report (JSON)")))
    assert record["file"] == EVIL
    assert record["sha256"] == digest(PORTRAIT.read_bytes())
    assert record["faces"][0]["models"][record["models"][0]]["heatmap"]["png"].startswith("data:")
    sheet = page.context.new_page()
    asked: list[str] = []
    sheet.on("request", lambda request: asked.append(request.url))
    sheet.on("dialog", lambda dialog: asked.append(dialog.message))
    sheet.set_content(html)
    expect(sheet.locator(".name")).to_have_text(EVIL)
    expect(sheet.locator("body")).to_contain_text("Evidence, not proof.")
    image = sheet.locator("img.heat")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    assert [request for request in asked if not request.startswith("data:")] == []
    assert sheet.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    audit(sheet)


def test_traces_of_a_generator_are_shown_and_change_no_score(open_page: Open) -> None:
    page = open_page()
    text = PngImagePlugin.PngInfo()
    prompt = f"a face {EVIL}\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Model: sd"
    text.add_text("parameters", prompt)
    choose(page, encoded("PNG", compress_level=1))
    expect_verdict(page, digest(encoded("PNG", compress_level=1)))
    plain = page.locator(".face .p").inner_text()
    marked = encoded("PNG", compress_level=1, pnginfo=text)
    choose(page, marked)
    expect_verdict(page, digest(marked))
    finding = page.locator(".finding").first
    expect(finding).to_contain_text("speaks for AI")
    expect(finding).to_contain_text("Unsigned")
    expect(page.locator(".provenance")).to_contain_text("never changes the model's score")
    expect(page.locator(".provenance")).to_contain_text("that proves nothing")
    assert page.locator(".face .p").inner_text() == plain
    assert page.locator("#answer img[src=x]").count() == 0


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://example.org/a.jpg", "http"),
        ("http://127.0.0.1/a.jpg", "private network"),
        ("http://169.254.169.254/latest/meta-data", "private network"),
    ],
)
def test_an_address_that_is_refused_is_one_sentence(
    open_page: Open, address: str, words: str
) -> None:
    page = open_page()
    page.get_by_label("Or the address of a picture on the web").fill(address)
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text(words)
    expect_status(page, page.locator(".status").inner_text())
    expect(page.locator(".ff-result.error .name")).to_have_text(address)
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))


# Compare --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_models_are_compared(open_page: Open, size: tuple[int, int]) -> None:
    page = open_page(*size)
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    page.get_by_role("button", name="Compare the models on this photo").click()
    shown = page.locator("#compared")
    expect(shown.locator(".facts code")).to_have_text(digest(PORTRAIT.read_bytes()))
    expect(shown.locator(".together")).to_contain_text(
        re.compile(r"\d of 2 models gave this verdict")
    )
    expect(shown.locator(".together")).to_contain_text("Models that are unsure abstain")
    expect(shown.locator(".model")).to_have_count(2)
    for model in shown.locator(".model").all():
        expect(model).to_contain_text(re.compile(r"\d+ %"))
        expect(model.locator(".latency")).to_contain_text(re.compile(r"\d+ ms"))
        expect(model.locator(".mark")).to_have_text(re.compile("[!✓?]"))
        heat = model.locator(".heat")
        assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    # The third is damaged: it is told, without the folders of this machine, and costs nothing else.
    expect(shown.locator(".warning").first).to_contain_text("checksum")
    expect(shown).not_to_contain_text("/tmp/")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

    for box in page.locator("#models").get_by_role("checkbox").all():
        box.uncheck()
    expect(shown.locator(".status")).to_have_text("Choose at least one model to judge the photo.")
    page.locator("#models").get_by_role("checkbox").first.check()
    expect(shown.locator(".model")).to_have_count(1)


# Batch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_batch_is_judged_sorted_filtered_and_taken_along(
    open_page: Open, size: tuple[int, int], models: Path, uploads: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(models))
    page = open_page(*size)
    tab(page, "Batch")
    room = (app.EXAMPLES / "empty_room.png").read_bytes()
    made = (app.EXAMPLES / "face_swap.jpg").read_bytes()
    packed = {"../made.jpg": made, "text.jpg": BAD["text.jpg"], "b.zip": archive({"c": b""})}
    batch(page, {EVIL: PORTRAIT.read_bytes(), "room.png": room, "all.zip": archive(packed)})
    expect(page.locator("#table .status")).to_have_text("5 files judged")
    names = page.locator("#table tbody th")
    expect(names).to_have_text(
        [EVIL, "room.png", "all.zip/../made.jpg", "all.zip/text.jpg", "all.zip/b.zip"]
    )
    rows = page.locator("#table tbody tr")
    expect(rows.nth(1)).to_contain_text("No face")
    expect(rows.nth(3)).to_contain_text("This is no picture")
    expect(rows.nth(4)).to_contain_text("archive in an archive")
    assert page.locator("#table img[src=x]").count() == 0
    thumbnail = rows.first.locator("img")
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 20
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert [path for path in (uploads / "uploads").rglob("*") if path.is_file()] == []

    header = page.get_by_role("columnheader", name="Verdict")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(names.last).to_have_text(re.compile("text.jpg|b.zip"))
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(names.first).to_have_text(re.compile("text.jpg|b.zip"))
    page.get_by_role("checkbox", name="Not read").uncheck()
    expect(rows).to_have_count(3)
    expect(page.locator("#table .status")).to_have_text("5 files judged, 3 of them shown")
    page.get_by_label("Name contains").fill("ROOM")
    expect(names).to_have_text(["room.png"])

    table = list(csv.reader(StringIO(saved(page, page.get_by_role("button", name="CSV")))))
    taken = json.loads(saved(page, page.get_by_role("button", name="JSON")))
    assert tuple(table[0]) == scan.COLUMNS
    assert [row[1] for row in table[1:]] == ["ok", "no_face", "ok"] + 2 * ["unreadable"]
    assert table[1][0] == f"./{EVIL}"  # as `scan` writes what might be a formula
    assert [found["status"] for found in taken] == [row[1] for row in table[1:]]
    assert [found["file"] for found in taken][1] == "room.png"
    for row, found in zip(table[1:], taken):
        assert row[4] == ("" if found["p_fake"] is None else f"{found['p_fake']:.4f}")
        assert row[5] == (found["verdict"] or "")
    assert [found["models"] for found in taken] == 5 * [[checkpoints.default()]]
    assert taken[0].keys() == to_dict(analysis()).keys()


def test_a_batch_that_is_stopped_keeps_what_is_done(open_page: Open, uploads: Path) -> None:
    page = open_page()
    tab(page, "Batch")
    files = {f"{i}.jpg": encoded("JPEG", quality=60 + i) for i in range(40)}
    batch(page, {"all.zip": archive(files)})
    rows = page.locator("#table tbody tr")
    expect(rows.first).to_be_visible()
    expect(page.get_by_role("progressbar", name="Files judged")).to_be_visible()
    page.get_by_role("button", name="Stop, and keep what is done").click()
    expect(page.locator("#table .status")).to_have_text(re.compile(r"Stopped: \d+ of 40 files"))
    done = rows.count()
    assert 0 < done < 40
    assert len(json.loads(saved(page, page.get_by_role("button", name="JSON")))) == done
    batch(page, {"one.jpg": PORTRAIT.read_bytes()})  # waits for its turn, so the first has ended
    expect(page.locator("#table .status")).to_have_text("1 file judged")
    expect(rows).to_have_count(1)
    assert [path for path in (uploads / "uploads").rglob("*") if path.is_file()] == []


def test_a_batch_by_a_damaged_model_is_one_sentence(open_page: Open) -> None:
    page = open_page()
    tab(page, "Batch")
    page.locator("#batch-model").get_by_label("Damaged copy").check()
    batch(page, {"one.jpg": PORTRAIT.read_bytes()})
    expect(page.locator("#table .status")).to_contain_text("checksum")
    page.locator("#batch-model").get_by_role("radio").first.check()
    expect(page.locator("#table .status")).to_have_text("1 file judged")


# Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_every_model_tells_how_it_did(
    open_page: Open, size: tuple[int, int], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(models))
    page = open_page(*size)
    tab(page, "Models")
    for summary in page.locator("summary").all():
        summary.click()
    for card in checkpoints.installed(models):
        shown = page.locator(".model-card").filter(
            has=page.locator("h2 code").get_by_text(card.name, exact=True)
        )
        expect(shown).to_contain_text(card.sha256)
        for name, found in card.metrics.get("sets", {}).items():
            row = shown.get_by_role("row").filter(has_text=set_title(name, found))
            if "verdicts_on_fake" in found:
                caught = 100 * found["verdicts_on_fake"][Verdict.FAKE]
                expect(row.first).to_contain_text(f"{caught:.1f} %")
                expect(row.first).to_contain_text(f"{found['auc']['value']:.3f}")
        for failure in zoo.make_entry(card, models / card.name).misses:
            expect(shown.locator(".failures")).to_contain_text(failure.source)
        for plot in shown.locator(".plots img").all():
            plot.scroll_into_view_if_needed()
            assert plot.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(page.get_by_role("article", name="Damaged copy")).to_contain_text("missing or damaged")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_operating_points_are_told(open_page: Open) -> None:
    page = open_page()
    tab(page, "Models")
    points = page.get_by_role("article", name="random").locator(".points")
    said = points.locator(".consequence")
    own = (
        "From 70 % on: false positive rate 15.0 % (1 real photo in 7 is called AI-generated), "
        "true positive rate 67.0 % (so are 67 of 100 fakes). This is the model's own threshold."
    )
    expect(said).to_have_text(own)
    slider = points.get_by_role("slider")
    slider.focus()
    for _ in range(26):
        page.keyboard.press("ArrowLeft")
    expect(said).to_have_text(
        "From 96 % on: false positive rate 2.0 % (1 real photo in 50 is called AI-generated), "
        "true positive rate 43.6 % (so are 44 of 100 fakes)."
    )
    expect(slider).to_have_attribute("aria-valuetext", said.inner_text())
    points.get_by_role("button", name="Back to the model's own threshold").click()
    expect(said).to_have_text(own)
    expect(page.get_by_role("article", name="Damaged copy").locator(".points")).to_have_count(0)


def test_a_script_that_comes_in_late_does_not_run(open_page: Open, url: str) -> None:
    """The second wall: where HTML of a stranger's got in all the same, no handler would run."""
    page = open_page(injected=True)
    page.evaluate(
        """() => {
          const late = document.createElement("div");
          late.innerHTML = "<img src='nothing.png' onerror='window.ran = true' alt=''>";
          document.body.append(late);
          return new Promise((done) => late.firstChild.addEventListener("error", done));
        }"""
    )
    assert page.evaluate("window.ran") is None


# All of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_everybody_can_use_it(open_page: Open, size: tuple[int, int], dark: bool) -> None:
    page = open_page(*size, dark=dark)
    audit(page)
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    audit(page)
    page.get_by_role("button", name="Compare the models on this photo").click()
    expect(page.locator("#compared .model")).to_have_count(2)
    audit(page)
    tab(page, "Batch")
    batch(page, {"a.jpg": PORTRAIT.read_bytes(), "b.jpg": BAD["text.jpg"]})
    expect(page.locator("#table .status")).to_have_text("2 files judged")
    audit(page)
    tab(page, "Models")
    expect(page.locator(".model-card").first).to_be_visible()
    page.locator("details").first.locator("summary").click()
    audit(page)


def test_tabs_are_walked_by_keyboard(open_page: Open) -> None:
    page = open_page()
    for name in TABS[1:]:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == name:
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        page.get_by_role("tab", name="Check").focus()


@pytest.fixture(scope="module")
def busy(models: Path) -> Iterator[str]:
    """A page whose queue is always full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKEFACE_CHECKPOINTS", str(models))
        page = app.serve(queue=0, prevent_thread_lock=True, quiet=True, server_port=free_port())
        yield page.local_url
        page.close()


def test_a_full_queue_is_one_sentence(open_page: Open, busy: str) -> None:
    page = open_page(at=busy, refused=True)
    choose(page, PORTRAIT.read_bytes())
    expect(page.locator("#drop .note")).to_have_text(BUSY)
    expect_no_toast(page)
    tab(page, "Batch")
    batch(page, {"a.jpg": PORTRAIT.read_bytes()})
    expect(page.locator("#pick .note")).to_have_text(BUSY)
    expect_no_toast(page)


def test_a_queue_that_fills_during_the_upload_is_one_sentence(open_page: Open, busy: str) -> None:
    page = open_page(at=busy, refused=True)
    page.route("**/gradio_api/upload", lambda route: route.fulfill(json=["/uploaded"]))
    choose(page, PORTRAIT.read_bytes())
    expect_status(page, BUSY)
    tab(page, "Batch")
    batch(page, {"a.jpg": PORTRAIT.read_bytes()})
    expect(page.locator("#table .status")).to_have_text(BUSY)


def test_a_lost_connection_is_one_sentence(open_page: Open) -> None:
    page = open_page(lost=True)
    page.route("**/gradio_api/upload", lambda route: route.abort())
    choose(page, PORTRAIT.read_bytes())
    expect(page.locator("#drop .note")).to_contain_text("could not be sent; check the connection")
    expect_no_toast(page)
