"""What programs get: the JSON of the command line, and every error as one sentence."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import gradio as gr
import pytest

from fakeface.images import fetch
from fakeface.models import checkpoints
from fakeface.page import api
from fakeface.types import CheckpointDamaged, FetchFailed
from tests.page.helpers import Send, files_in


def test_a_picture_is_judged(untrained: Path, portrait: bytes, send: Send, uploads: Path) -> None:
    found = api.check(send(portrait, "a.jpg"))
    assert (found["file"], found["status"], found["models"]) == ("a.jpg", "ok", ["untrained"])
    both = api.compare(send(portrait, "a.jpg"))
    assert both["faces"][0]["consensus"]["of"] == 1
    assert both["p_fake"] == found["p_fake"]
    made = api.make_report(send(portrait, "a.jpg"), faithful=True)
    assert made["html"].lstrip().startswith("<!doctype html>")
    heatmap = made["json"]["faces"][0]["models"]["untrained"]["heatmap"]
    assert heatmap["png"].startswith("data:") and isinstance(heatmap["faithfulness"], float)
    assert files_in(uploads) == []


def test_an_address_is_judged(
    untrained: Path, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "fetch", lambda url: fetch.Fetched(portrait, "found.jpg"))
    assert api.check_url("https://example.org/a")["file"] == "found.jpg"

    def fails(url: str) -> None:
        raise FetchFailed("The server does not answer; try again later.")

    monkeypatch.setattr(fetch, "fetch", fails)
    with pytest.raises(gr.Error, match="does not answer"):
        api.check_url("https://example.org/a")


def test_a_file_that_is_no_picture_has_a_status(untrained: Path, send: Send) -> None:
    found = api.check(send(b"text", "text.jpg"))
    assert (found["status"], found["file"]) == ("unreadable", "text.jpg")
    assert found["error"]
    assert found["models"] == ["untrained"]
    with pytest.raises(gr.Error, match="This is no picture"):
        api.make_report(send(b"text"))


@pytest.mark.parametrize("call", [api.check, api.compare, api.make_report])
def test_an_upload_that_is_gone_is_a_sentence(call, untrained: Path, uploads: Path) -> None:
    with pytest.raises(gr.Error, match="no longer on the server"):
        call({"path": str(uploads / "gone")})


def test_a_model_that_is_not_there_is_a_sentence(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    for call in (
        lambda: api.check(send(portrait), "nonesuch"),
        lambda: api.compare(send(portrait), ["untrained", "nonesuch"]),
        lambda: api.make_report(send(portrait), ["nonesuch"]),
        lambda: api.check_batch([send(portrait)], "nonesuch"),
    ):
        with pytest.raises(gr.Error, match="There is no model 'nonesuch'"):
            call()
    assert files_in(uploads) == []


def test_a_batch_has_one_answer_a_file(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("b.jpg", portrait)
    files = [
        send(portrait, "a.jpg"),
        {"path": str(uploads / "gone"), "orig_name": "gone.jpg"},
        send(out.getvalue(), "all.zip"),
        send(b"text", "text.jpg"),
    ]
    found = api.check_batch(files)
    assert [(one["file"], one["status"]) for one in found] == [
        ("a.jpg", "ok"),
        ("gone.jpg", "unreadable"),
        ("all.zip/b.jpg", "ok"),
        ("text.jpg", "unreadable"),
    ]
    assert files_in(uploads) == []


def test_models_are_listed(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = api.list_models()
    assert (model["name"], model["input_size"]) == ("untrained", 96)

    def fails() -> None:
        raise CheckpointDamaged(f"{untrained}/card.json is not a readable model card.")

    monkeypatch.setattr(checkpoints, "installed", fails)
    with pytest.raises(gr.Error, match=r"^'card.json is not a readable model card.'$"):
        api.list_models()


def test_a_fault_of_ours_is_a_sentence(
    untrained: Path,
    portrait: bytes,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(api, "judge_file", broken)
    with pytest.raises(gr.Error, match="Something went wrong in fakeface itself"):
        api.check(send(portrait))
    assert caplog.records[0].exc_info
