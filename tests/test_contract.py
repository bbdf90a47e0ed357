"""The JSON contract: its published schema, and that what is printed keeps to it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from fakeface import cli
from fakeface.analysis import analyse, read_or_report
from fakeface.contract import ANALYSIS, AnalysisResult, schema
from fakeface.models import checkpoints
from fakeface.report.record import to_dict, to_record
from fakeface.types import Analysis, Finding, Status
from tests.test_html_report import analysis

PUBLISHED = Path(__file__).parents[1] / "docs" / "schema.json"
FINDING = Finding("exif", "Software", "GIMP", "edited", "unsigned")
UNREADABLE = Analysis("a", "", Status.UNREADABLE, models=("a",), error="It is no picture.")
NO_FACE = Analysis("a", "5e" * 32, Status.NO_FACE, 4, 3, "haar", ("a",))
ALL = [analysis(findings=(FINDING,)), NO_FACE, UNREADABLE]


def test_the_published_schema_is_that_of_the_code(capsys):
    assert cli.main(["schema"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == schema()
    assert PUBLISHED.read_text() == printed, "run: python -m fakeface schema > docs/schema.json"
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("found", ALL, ids=lambda found: found.status.value)
@pytest.mark.parametrize("make", [to_dict, to_record])
def test_what_is_made_keeps_to_the_schema(found, make):
    result = make(found)
    jsonschema.validate(json.loads(json.dumps(result)), schema())
    assert ANALYSIS.validate_python(result) == result
    assert result.keys() == AnalysisResult.__annotations__.keys()


def test_what_the_command_line_prints_keeps_to_the_schema(untrained, haar, portrait):
    model = checkpoints.load("untrained", device="cpu")
    found = analyse(portrait, models=[model], detector=haar, faithful=True)
    bad = read_or_report(lambda: b"no picture", "x", ["untrained"])
    for one in (found, bad):
        jsonschema.validate(json.loads(json.dumps(to_dict(one))), schema())


@pytest.mark.parametrize(
    "change",
    [
        {"p_fake": 1.5},
        {"p_fake": float("nan")},
        {"p_fake": "0.5"},
        {"verdict": "fake"},
        {"sha256": "5e"},
        {"width": 0},
        {"status": "fine"},
        {"faces": None},
        {"models": "a"},
    ],
    ids=str,
)
def test_a_value_of_another_type_or_range_does_not(change):
    wrong = {**to_dict(ALL[0]), **change}
    with pytest.raises(ValidationError):
        ANALYSIS.validate_python(wrong)
    if change["p_fake"] == change["p_fake"] if "p_fake" in change else True:  # JSON has no NaN
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())


def test_a_field_that_is_missing_is_noticed():
    for name in AnalysisResult.__annotations__:
        short = {key: value for key, value in to_dict(ALL[0]).items() if key != name}
        with pytest.raises(ValidationError):
            ANALYSIS.validate_python(short)
    assert dataclasses.is_dataclass(ALL[0])
