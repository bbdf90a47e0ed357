"""Reports to take along: complete, self-contained, and safe whatever the file is called."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fakeface.evidence import provenance
from fakeface.images import decoder as images
from fakeface.report import html as html_report
from fakeface.report import pictures
from fakeface.report.record import to_dict, to_record
from fakeface.report.text import NOTE
from fakeface.types import (
    Analysis,
    Box,
    Face,
    FaceReport,
    Finding,
    Heatmap,
    Judge,
    Quality,
    Score,
    Status,
    Variant,
    Verdict,
)
from tests.conftest import as_picture

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>{{7*7}}${alert(3)}"


def analysis(*, file: str = "holiday.jpg", findings: tuple[Finding, ...] = ()) -> Analysis:
    """One face that flips, by a model with heatmap and one without."""
    box = Box(20, 10, 60, 70)
    values = np.linspace(0, 1, 49, dtype=np.float32).reshape(7, 7)
    variants = (
        Variant("JPEG quality 40", 0.2, Verdict.REAL),
        Variant("half the size", 0.93, Verdict.FAKE),
    )
    scores = (
        Score("a", 3.0, 0.95, Verdict.UNSURE, variants, alone=Verdict.FAKE, seconds=0.1),
        Score("b", -4.0, 0.02, Verdict.REAL, (), alone=None, seconds=0.2),
    )
    face = FaceReport(
        Face(box),
        scores,
        (Heatmap("a", box, values, faithfulness=0.31, random=0.02),),
        Quality(60, 12.0, 77, 0.25, ("This face is small.",)),
    )
    return Analysis(
        file, "5e" * 32, Status.OK, 120, 90, "haar", ("a", "b"), (face,),
        provenance=findings,
        judges=(
            Judge("a", "aa" * 32, 0.31, 0.91, "Model A", "It learnt from 9 pictures.", "No terms."),
            Judge("b", "bb" * 32, 0.3, 0.7),
        ),
        date="2026-11-25T07:10:19Z",
    )  # fmt: skip


PIXELS = np.full((90, 120, 3), 90, np.uint8)
PICTURE = as_picture(PIXELS)


class Reader(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_holds_all_there_is_to_say():
    finding = Finding("c2pa", "Content credentials", "Made by a camera.", "camera", "valid")
    text = Reader(html_report.to_html(analysis(findings=(finding,)), PICTURE)).text
    for words in (
        NOTE,
        "No terms.",
        "It learnt from 9 pictures.",
        "holiday.jpg",
        "5e" * 32,
        "aa" * 32,
        "bb" * 32,
        "2026-11-25T07:10:19Z",
        "60 × 70 pixels at x 20, y 10",
        "0.3100 0.9100",
        "95 %",
        "it changed to the opposite, so the verdict is “unsure”",
        "JPEG quality 40 20 %",
        "This face is small.",
        "25 of 100 validation photographs",
        "+0.31",
        "+0.02",
        "Content credentials",
        "Valid: signed",
        "never changes the model's score",
        "that proves nothing",
        "1 of 2 models say so",
    ):
        assert words in text, words


def test_the_page_needs_nothing_else_and_runs_nothing():
    page = Reader(html_report.to_html(analysis(), PICTURE))
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    sources = [v for name, v in page.attributes if name in ("src", "href", "srcset", "action")]
    assert sources and all(source.startswith("data:image/") for source in sources)
    policy = next(v for name, v in page.attributes if name == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'")


def test_what_comes_from_the_file_is_escaped():
    finding = Finding("exif", EVIL, EVIL, "ai", "unsigned")
    hostile = analysis(file=EVIL, findings=(finding,))
    page = Reader(html_report.to_html(hostile, PICTURE))
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("alert(1)") == 4  # title, file name, and the finding's two
    assert "{{7*7}}" in page.text


def test_what_stands_in_the_metadata_of_a_real_file_is_escaped():
    info, out = PngInfo(), BytesIO()
    info.add_text("parameters", f"{EVIL}\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1")
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    findings = provenance.find(out.getvalue())
    assert any("script" in finding.detail for finding in findings)
    page = Reader(html_report.to_html(analysis(findings=findings), PICTURE))
    assert "script" not in page.tags
    assert "<script>" in page.text


def test_a_picture_without_a_face_has_a_report_too():
    found = Analysis("a.jpg", "5e" * 32, Status.NO_FACE, 120, 90, "haar", ("a",))
    text = Reader(html_report.to_html(found, PICTURE)).text
    assert "No face found" in text
    assert "absence proves nothing" in text


def test_a_model_without_a_title_goes_by_its_name():
    text = Reader(html_report.to_html(analysis(), PICTURE)).text
    assert "unsure Model A" in text
    assert "no sign of AI found b" in text


def test_the_record_is_the_json_of_the_contract_with_the_heatmaps():
    found = analysis()
    record = to_record(found)
    heatmap = record["faces"][0]["models"]["a"]["heatmap"]
    kind, _, data = heatmap.pop("png").partition(",")
    assert kind == "data:image/png;base64"
    values = np.asarray(Image.open(BytesIO(base64.b64decode(data)))) / 255
    assert np.abs(values - found.faces[0].heatmaps[0].values).max() < 0.01
    assert record == to_dict(found)


def test_a_heatmap_is_clear_where_it_is_cold():
    heatmap = Heatmap("a", Box(0, 0, 2, 2), np.array([[0, 1], [0.5, 0]], np.float32))
    data = base64.b64decode(pictures.tint(heatmap).partition(",")[2])
    alpha = np.asarray(Image.open(BytesIO(data)).convert("RGBA"))[..., 3]
    assert alpha.tolist() == [[0, 255], [128, 0]]


def test_pictures_go_out_small_and_unchanged_in_shape():
    url = pictures.data_url(np.zeros((100, 4000, 3), np.uint8), 400)
    decoded = images.decode(base64.b64decode(url.partition(",")[2]))
    assert decoded.shape == (10, 400, 3)
