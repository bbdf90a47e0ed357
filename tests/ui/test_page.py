"""The page as people use it, in a real browser."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

import app
from fakeface import analysis, cli, faces
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.report.record import to_dict
from fakeface.report.text import percent
from fakeface.types import ImageError

pytestmark = pytest.mark.ui

Open = Callable[..., Page]
DESKTOP, PHONE = (1280, 900), (390, 844)
PORTRAIT = app.EXAMPLES / "grace_hopper.jpg"
VERDICTS = re.compile("^(AI-generated|No sign of AI found|Unsure)$", re.IGNORECASE)


def encoded(kind: str, **options: object) -> bytes:
    """The portrait as another kind of file."""
    out = BytesIO()
    Image.open(PORTRAIT).save(out, kind, **options)
    return out.getvalue()


def huge_png() -> bytes:
    """A PNG of a few bytes that claims 400 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


BAD = {
    "text.jpg": b"This is only text, whatever its name says.",
    "empty.jpg": b"",
    "truncated.jpg": encoded("JPEG")[:9000],
    "huge.png": huge_png(),
    "telephone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
}


def choose(page: Page, data: bytes, name: str = "photo.jpg") -> None:
    """Choose a file as in the file dialog."""
    file = FilePayload(name=name, mimeType="", buffer=data)
    page.locator("#drop input[type=file]").set_input_files(file)


def expect_verdict(page: Page, sha256: str) -> None:
    """Wait for the answer about the file with that hash, and look at all of its parts."""
    expect(page.locator(".facts code")).to_have_text(sha256)
    face = page.locator(".face").first
    expect(face.locator(".verdict")).to_have_text(VERDICTS)
    expect(face.locator(".verdict")).to_be_visible()
    expect(face.locator(".p")).to_contain_text(re.compile(r"\d+ %"))
    expect(face.locator("h2 .mark")).to_have_text(re.compile("[!✓?]"))
    heat = face.locator("img.heat")
    expect(heat).to_be_visible()
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    assert page.locator(".box").count() == page.locator(".face").count()


def expect_status(page: Page, words: str) -> None:
    """Wait for the line that says what became of a picture."""
    expect(page.locator(".status")).to_have_text(words)
    expect_no_toast(page)


def expect_no_toast(page: Page) -> None:
    """What went wrong is told in its place and nowhere else, and not by a traceback."""
    expect(page.locator(".toast-wrap .toast-body")).to_have_count(0)
    expect(page.locator("body")).not_to_contain_text("Traceback")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_photo_gets_a_verdict_and_a_heatmap(
    open_page: Open, size: tuple[int, int], dark: bool
) -> None:
    page = open_page(*size, dark=dark)
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    expect(page.locator(".status")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG", quality=71, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
        encoded("PNG", compress_level=1),
        encoded("WEBP", quality=60),
    ],
    ids=["jpeg", "png", "webp"],
)
def test_the_bytes_arrive_unchanged(open_page: Open, data: bytes) -> None:
    page = open_page()
    choose(page, data)
    expect_verdict(page, digest(data))


def test_a_picture_without_a_face_gets_no_score(open_page: Open) -> None:
    page = open_page(*PHONE)
    page.get_by_role("button", name="Empty room").click()
    expect_status(page, "No face found")
    expect(page.locator(".picture img")).to_be_visible()
    expect(page.locator(".face, .box")).to_have_count(0)
    expect(page.locator("#answer")).not_to_contain_text("%")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_sentence_and_the_page_goes_on(open_page: Open, name: str) -> None:
    page = open_page()
    choose(page, BAD[name], name)
    if name.endswith("heic"):  # the extra is hidden from the page alone
        sentence = (
            "This is a HEIC picture; run `pip install pi-heif` to read it, or save it as JPEG."
        )
    else:
        with pytest.raises(ImageError) as raised:
            images.decode(BAD[name])
        sentence = str(raised.value)
    expect_status(page, sentence)
    expect(page.locator(".face")).to_have_count(0)
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))


def test_a_file_that_is_too_large_is_not_even_sent(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: "upload" in request.url and sent.append(request.url))
    (tmp_path / "large.jpg").write_bytes(bytes(images.MAX_BYTES + 1))
    page.locator("#drop input[type=file]").set_input_files(tmp_path / "large.jpg")
    expect(page.get_by_role("alert")).to_contain_text("larger than 32 MiB")
    assert not sent
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    expect(page.locator(".note")).to_be_hidden()


def test_another_model_judges_the_same_photo(open_page: Open) -> None:
    page = open_page()
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    page.get_by_label("Damaged copy").check()
    expect(page.locator(".status")).to_contain_text("checksum")
    expect_status(page, page.locator(".status").inner_text())
    page.get_by_role("radio").first.check()
    expect_verdict(page, digest(PORTRAIT.read_bytes()))


def test_an_example_is_judged(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Grace Hopper").click()
    expect_verdict(page, digest(PORTRAIT.read_bytes()))


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_file_is_dropped_or_pasted(open_page: Open, event: str) -> None:
    page = open_page()
    page.evaluate(
        """async ([kind, address]) => {
          const data = new DataTransfer();
          data.items.add(new File([await (await fetch(address)).blob()], "photo.jpg"));
          const how = { bubbles: true, cancelable: true };
          document.body.dispatchEvent(kind === "drop"
            ? new DragEvent(kind, { ...how, dataTransfer: data })
            : new ClipboardEvent(kind, { ...how, clipboardData: data }));
        }""",
        [event, page.locator(".examples img").first.get_attribute("src")],
    )
    expect_verdict(page, digest(PORTRAIT.read_bytes()))


def test_the_clipboard_is_pasted_by_its_button(open_page: Open) -> None:
    page = open_page()
    page.evaluate(
        """async (address) => {
          const image = await createImageBitmap(await (await fetch(address)).blob());
          const canvas = new OffscreenCanvas(image.width, image.height);
          canvas.getContext("2d").drawImage(image, 0, 0);
          const png = await canvas.convertToBlob();
          await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
        }""",
        page.locator(".examples img").first.get_attribute("src"),
    )
    page.get_by_role("button", name="Paste", exact=True).click()
    expect(page.locator(".face .verdict").first).to_have_text(VERDICTS)


def test_the_camera_takes_a_photo(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_function("document.querySelector('#drop video').videoWidth > 0")
    page.get_by_role("button", name="Take the photo").click()
    expect_status(page, "No face found")  # Chromium's made-up camera shows a test card
    expect(page.locator("#drop video")).to_be_hidden()


def test_the_keyboard_is_enough(open_page: Open) -> None:
    page = open_page()
    page.on("filechooser", lambda _: None)  # from here on no dialog of the system opens
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.locator("#drop input[type=file]").evaluate("e => e === document.activeElement"):
            break
    expect(page.locator("#drop input[type=file]")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(PORTRAIT)
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    page.get_by_role("button", name="Empty room").focus()
    page.keyboard.press("Enter")
    expect_status(page, "No face found")


def test_what_comes_from_the_file_is_escaped(open_page: Open) -> None:
    page = open_page()
    name = "<img src=x onerror=alert(1)>${alert(2)}{{x}}.jpg"
    choose(page, PORTRAIT.read_bytes(), name)
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    expect(page.locator(".facts .name")).to_have_text(name)
    assert page.locator("#answer img[src=x]").count() == 0


def test_uploads_are_deleted(open_page: Open, uploads: Path) -> None:
    page = open_page()
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    choose(page, BAD["truncated.jpg"])
    expect(page.locator(".status")).to_contain_text("damaged or incomplete")
    assert [p for p in (uploads / "uploads").rglob("*") if p.is_file()] == []


def comparable(found: dict[str, Any], model: str) -> tuple[dict[str, Any], list[float]]:
    """An answer without what differs between two runs, and its measured numbers apart."""
    numbers = [found["p_fake"]]
    found = {**found, "p_fake": None, "date": None, "file": Path(found["file"]).name}
    for face in found["faces"]:
        quality, score = face["quality"], face["models"][model]
        numbers += [quality.pop("familiarity") or 0.0, quality.pop("sharpness") / 1e3]
        numbers += [score["p_fake"], *(variant["p_fake"] for variant in score["variants"])]
        score |= {"p_fake": None, "seconds": None, "heatmap": None}
        score["variants"] = [{**variant, "p_fake": None} for variant in score["variants"]]
    return found, numbers


def test_page_api_command_line_and_package_agree(
    open_page: Open,
    url: str,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(models))
    name, detector = checkpoints.default(), faces.open_detector()
    data = PORTRAIT.read_bytes()
    package = to_dict(analysis.analyse(data, models=[checkpoints.load(name)], detector=detector))
    assert cli.main(["analyse", str(PORTRAIT), "--json"]) == 0
    command = json.loads(capsys.readouterr().out)
    client = Client(url, verbose=False, download_files=False)
    api = client.predict(handle_file(PORTRAIT), api_name="/check")
    (in_batch,) = client.predict([handle_file(PORTRAIT)], api_name="/check_batch")
    kept = client.predict(handle_file(PORTRAIT), api_name="/make_report")["json"]
    client.close()

    page = open_page()
    choose(page, data, PORTRAIT.name)
    expect_verdict(page, package["sha256"])
    shown = page.locator(".face .p strong").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (JSON)").click()
    taken = json.loads(Path(download.value.path()).read_text("utf-8"))

    assert shown == percent(package["p_fake"])
    package["file"] = PORTRAIT.name
    wanted, numbers = comparable(package, name)
    for other in (command, api, in_batch, kept, taken):
        same, close = comparable(other, name)
        assert same == wanted
        assert close == pytest.approx(numbers, abs=5e-3)  # the server uses other threads


def test_the_api_says_what_is_wrong(url: str, tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_bytes(BAD["text.jpg"])
    client = Client(url, verbose=False, download_files=False)
    answer = client.predict(handle_file(path), api_name="/check")
    assert answer["status"] == "unreadable"
    assert answer["error"].startswith("This is no picture")
    assert answer["file"] == "text.jpg"
    with pytest.raises(Exception, match="There is no model 'nonesuch'"):
        client.predict(handle_file(path), "nonesuch", api_name="/check")
    client.close()
