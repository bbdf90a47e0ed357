"""The handlers of Check and Compare: what they answer, and what they keep."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from fakeface import __version__
from fakeface.images import fetch
from fakeface.models import checkpoints
from fakeface.page import answers, check, service
from fakeface.page.check import check_photo, make_report
from fakeface.page.compare import compare_models
from fakeface.types import FetchFailed, Verdict
from tests.page.helpers import EVIL, Send, files_in

SOME_ERROR = "Something went wrong in fakeface itself; try another picture."


def plain_png(**text: str) -> bytes:
    """A picture without a face, with text chunks."""
    out, info = BytesIO(), PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    Image.new("RGB", (200, 200), "teal").save(out, "PNG", pnginfo=info)
    return out.getvalue()


def wanted(answer: dict[str, Any], upload: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the browser sends for a report on an answer."""
    return {"file": upload, **answer["report"], "ticket": 7, **more}


def test_before_there_is_a_photo() -> None:
    assert "No photo yet" in check_photo(None, "")["html"]
    assert "Several models judge the same photo" in compare_models(None, [])["html"]


def test_a_photo_gets_what_the_page_shows_and_no_more(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    answer = check_photo({"file": send(portrait)}, "")
    digest = hashlib.sha256(portrait).hexdigest()
    assert digest in answer["html"]
    assert answer["html"].count('class="heat"') == 1
    assert "calibrated probability of being AI-generated" in answer["html"]
    assert "Measure how faithful" in answer["html"]
    assert answer.keys() == {"html", "report"}
    assert answer["report"] == {"sha256": digest, "model": "untrained", "faithful": False}
    assert "<!doctype html>" not in answer["html"]
    assert files_in(uploads) == []


def test_no_card_is_read_to_show_an_answer(
    untrained: Path, portrait: bytes, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.load_tools("untrained")
    monkeypatch.setattr(checkpoints, "survey", lambda root=None: pytest.fail("cards were read"))
    html = check_photo({"file": send(portrait)}, "untrained")["html"]
    assert "<dd>MobileNetV2</dd>" in html
    assert "Compare the models" not in html
    html = check_photo({"file": send(portrait)}, "untrained", others=True)["html"]
    assert "Compare the models on this photo" in html


def test_a_report_is_made_when_it_is_asked_for(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    answer = check_photo({"file": send(portrait, EVIL), "faithful": True}, "untrained")
    digest = answer["report"]["sha256"]
    made = make_report(wanted(answer, send(portrait, EVIL), kind="html"))
    assert (made["name"], made["type"]) == (f"fakeface-{digest[:12]}.html", "text/html")
    assert made["text"].lstrip().startswith("<!doctype html>")
    assert "<img src=x" not in made["text"]
    assert "How faithful is it?" in made["text"]
    assert made["ticket"] == 7
    made = make_report(wanted(answer, send(portrait, EVIL), kind="json"))
    assert (made["name"], made["type"]) == (f"fakeface-{digest[:12]}.json", "application/json")
    record = json.loads(made["text"])
    assert (record["file"], record["sha256"], record["version"]) == (EVIL, digest, __version__)
    assert record["faces"][0]["models"]["untrained"]["heatmap"]["png"].startswith("data:image/png")
    shown = answer["html"].split('class="p"><strong>')[1].split("<")[0]
    assert (
        f"{shown}</strong> calibrated"
        in make_report(wanted(answer, send(portrait), kind="html"))["text"]
    )
    assert files_in(uploads) == []


def test_a_report_is_on_the_picture_that_was_judged(
    untrained: Path, portrait: bytes, send: Send, monkeypatch: pytest.MonkeyPatch, uploads: Path
) -> None:
    """What lies at an address may change between the answer and the report."""
    found = [fetch.Fetched(portrait, "a.jpg"), fetch.Fetched(plain_png(), "a.jpg")]
    monkeypatch.setattr(fetch, "fetch", lambda url: found.pop(0))
    answer = check_photo({"address": "https://example.org/a"}, "")
    again = {"address": "https://example.org/a", **answer["report"], "kind": "html", "ticket": 1}
    made = make_report(again)
    assert made == {
        "message": "What lies at this address has changed; fetch it again.",
        "ticket": 1,
    }


@pytest.mark.parametrize("change", [{"file": {"path": "gone"}}, {"model": "nonesuch"}, {"file": 3}])
def test_a_report_that_cannot_be_made_is_a_sentence(
    change: dict[str, Any], untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    answer = check_photo({"file": send(portrait)}, "")
    made = make_report(wanted(answer, send(portrait)) | change)
    assert made.keys() == {"message", "ticket"}
    assert str(uploads.parent) not in made["message"]
    assert make_report({}).keys() == {"message", "ticket"}


def test_a_picture_without_a_face(untrained: Path, send: Send) -> None:
    answer = check_photo({"file": send(plain_png())}, "")
    assert "No face found" in answer["html"]
    assert "%</strong>" not in answer["html"]
    assert make_report(wanted(answer, send(plain_png()), kind="html"))["text"]
    html = compare_models({"file": send(plain_png())}, ["untrained"])["html"]
    assert "No face found" in html


@pytest.mark.parametrize("data", [b"", b"only text", b"\xff\xd8\xff\xe0truncated"])
def test_a_file_that_is_no_picture_is_a_sentence(
    data: bytes, untrained: Path, send: Send, uploads: Path
) -> None:
    for html in (
        check_photo({"file": send(data, EVIL)}, "")["html"],
        compare_models({"file": send(data, EVIL)}, ["untrained"])["html"],
    ):
        assert 'class="ff ff-result error"' in html
        assert (
            "&lt;img src=x onerror=alert(1)&gt;${alert(2)}{{x}}.jpg</span> was not judged" in html
        )
        assert "<img" not in html
    assert files_in(uploads) == []


def test_an_upload_that_is_gone_or_forged_is_a_sentence(
    untrained: Path, tmp_path: Path, portrait: bytes, uploads: Path
) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(portrait)
    for sent in ({"file": {"path": str(secret)}}, {"file": {}}, {"file": None}, {"earlier": [{}]}):
        assert "no longer on the server" in check_photo(sent, "")["html"]
        assert "no longer on the server" in compare_models(sent, ["untrained"])["html"]
    assert secret.exists()


def test_uploads_that_were_given_up_are_deleted(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    check_photo({"file": send(portrait), "earlier": [send(b"a"), send(b"b")]}, "")
    assert files_in(uploads) == []


def test_an_address_is_fetched(
    untrained: Path, portrait: bytes, monkeypatch: pytest.MonkeyPatch, uploads: Path
) -> None:
    asked = []

    def fetched(url: str) -> fetch.Fetched:
        asked.append(url)
        if url.endswith("b"):
            raise FetchFailed("The server does not answer; try again later.")
        return fetch.Fetched(portrait, "found.jpg")

    monkeypatch.setattr(fetch, "fetch", fetched)
    assert "found.jpg" in check_photo({"address": "https://example.org/a"}, "")["html"]
    html = check_photo({"address": "https://example.org/<b>b"}, "")["html"]
    assert "The server does not answer; try again later." in html
    assert "https://example.org/&lt;b&gt;b" in html
    assert asked == ["https://example.org/a", "https://example.org/<b>b"]


def test_an_address_of_a_private_network_is_refused(uploads: Path) -> None:
    for address in ("http://127.0.0.1/a.jpg", "file:///etc/passwd", "<script>alert(1)</script>"):
        html = check_photo({"address": address}, "")["html"]
        assert "ff-result error" in html
        assert "<script" not in html


def test_a_model_that_cannot_be_loaded_is_a_sentence(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    html = check_photo({"file": send(portrait)}, "nonesuch")["html"]
    assert "There is no model &#39;nonesuch&#39;" in html
    weights = untrained / "untrained" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\n")
    html = check_photo({"file": send(portrait)}, "")["html"]
    assert "checksum" in html
    assert str(untrained) not in html
    assert files_in(uploads) == []


def test_a_fault_of_ours_is_a_sentence_and_is_logged(
    untrained: Path,
    portrait: bytes,
    send: Send,
    uploads: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in the engine")

    monkeypatch.setattr(check, "judge", broken)
    assert SOME_ERROR in check_photo({"file": send(portrait)}, "")["html"]
    digest = hashlib.sha256(portrait).hexdigest()
    assert make_report({"file": send(portrait), "sha256": digest})["message"] == SOME_ERROR
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError] * 2
    assert files_in(uploads) == []


def test_a_changed_verdict_is_told(
    untrained: Path, portrait: bytes, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of the picture that get the opposite verdict make it unsure."""
    from dataclasses import replace

    def changed(*given: Any, **options: Any) -> Any:
        analysis = service.judge(*given, **options)
        (face,) = analysis.faces
        (score,) = face.scores
        other = [replace(v, verdict=Verdict.FAKE) for v in score.variants]
        score = replace(score, alone=Verdict.REAL, verdict=Verdict.UNSURE, variants=tuple(other))
        return replace(analysis, faces=(replace(face, scores=(score,)),))

    monkeypatch.setattr(check, "judge", changed)
    html = check_photo({"file": send(portrait)}, "")["html"]
    assert "it changed to the opposite, so the verdict is “unsure”" in html
    assert "was “no sign of AI found”" in html
    monkeypatch.setattr("fakeface.page.compare.judge", changed)
    html = compare_models({"file": send(portrait)}, ["untrained"])["html"]
    assert "The verdict changed when the picture was" in html


def test_words_of_a_file_are_text(untrained: Path, send: Send) -> None:
    """Names and metadata are a stranger's, on both tabs and in the report."""
    data = plain_png(Software=EVIL, parameters=f"{EVIL}\nSteps: 20, Sampler: Euler a, Seed: 1")
    answer = check_photo({"file": send(data, EVIL)}, "")
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer["html"].split("What the file says")[1]
    made = make_report(wanted(answer, send(data, EVIL), kind="html"))
    compared = compare_models({"file": send(data, EVIL)}, ["untrained"])
    for html in (answer["html"], made["text"], compared["html"]):
        assert "<img src=x" not in html
        assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_models_are_compared(untrained: Path, portrait: bytes, send: Send, uploads: Path) -> None:
    html = compare_models({"file": send(portrait)}, ["untrained", "nonesuch"])["html"]
    assert "There is no model &#39;nonesuch&#39;" in html
    assert html.count('<li class="model ') == 1
    assert "1 of 1</b> model gave this verdict" in html
    assert 'class="download' not in html
    html = compare_models({"file": send(portrait)}, [])["html"]
    assert "Choose at least one model to judge the photo." in html
    html = compare_models({"file": send(portrait)}, ["nonesuch"])["html"]
    assert "There is no model &#39;nonesuch&#39;" in html
    assert files_in(uploads) == []


def test_the_blank_page_can_say_why_there_is_no_model() -> None:
    html = answers.render_error("check", "No model is installed.")
    assert "No model is installed." in html
    assert "was not judged" not in html
