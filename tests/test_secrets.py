"""No token or key in an error or a log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fakeface
from fakeface.secrets import redact

ROOT = Path(fakeface.__file__).parents[1]
TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWx"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home and a working folder without secrets."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"401 for url https://hub.test/a?token={TOKEN}&b=1", TOKEN),
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        ("authorization: basic bWU6c2VjcmV0", "bWU6c2VjcmV0"),
        (f"headers={{'x': '{TOKEN}'}}", TOKEN),
        ("https://me:pass-word@hub.test/", "pass-word"),
        ("KGAT_0123456789abcdef was refused", "KGAT_0123456789abcdef"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, secret):
    assert secret not in redact(text) and "[hidden]" in redact(text)


def test_the_secrets_of_the_environment_are_hidden(monkeypatch):
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "unusual token")
    assert redact(f"{KEY}, unusual token") == "[hidden], [hidden]"


def test_the_secrets_of_files_are_hidden(home):
    (home / ".kaggle").mkdir()
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": "me", "key": KEY}))
    (home / ".env").write_text("export HF_TOKEN='from a file'\nKAGGLE_USERNAME=someone\n")
    assert redact(f"{KEY}; from a file; someone") == "[hidden]; [hidden]; someone"


@pytest.mark.parametrize("content", ["", "{", "[]", '"key"', "\xff"])
def test_damaged_files_are_no_reason_to_fail(home, content):
    (home / ".kaggle").mkdir()
    (home / ".kaggle" / "kaggle.json").write_text(content, encoding="latin-1")
    (home / ".env").write_text(content, encoding="latin-1")
    assert redact("plain") == "plain"


def test_ordinary_text_stays(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a")  # too short to be one
    text = "https://hub.test/a/b?c=d has 3 files (half_of them), see photo@home.test"
    assert redact(text) == text


def test_logs_and_tracebacks(monkeypatch):
    program = """
import logging
from fakeface.secrets import redact_errors
redact_errors()
logging.basicConfig()
log = logging.getLogger("x")
log.error("sent %s", SECRET)
log.error("too many %s", 1, 2)
try:
    raise ValueError(SECRET)
except ValueError:
    log.exception("failed")
raise RuntimeError(SECRET)
"""
    monkeypatch.setenv("HF_TOKEN", "one two three")
    program = program.replace("SECRET", repr("one two three"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    lines = [
        line for line in done.stderr.splitlines() if "log.e" not in line and "raise" not in line
    ]
    assert "one two three" not in "\n".join(lines)
    assert "sent [hidden]" in done.stderr and "RuntimeError: [hidden]" in done.stderr
    assert "ValueError: [hidden]" in done.stderr and "too many" in done.stderr
