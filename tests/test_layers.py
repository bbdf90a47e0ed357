"""The way of the data: a module imports only from those before it; the public API is pinned."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fakeface

PACKAGE = Path(fakeface.__file__).parent
ORDER = [
    "types",
    "metadata",
    "provenance",
    "images",
    "fetch",
    "faces",
    "backbones",
    "preprocess",
    "stability",
    "calibrate",
    "quality",
    "engine",
    "checkpoints",
    "explain",
    "analyse",
    "scan",
    "batch",
    "report",
    "shelf",
    "results",
    "html_report",
    "cli",
    "__main__",
]


def imports(path: Path) -> set[str]:
    """The modules of fakeface that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if node.level:
                found |= {node.module.split(".")[0]} if node.module else set(names)
            elif node.module == "fakeface":
                found |= set(names)
            elif node.module and node.module.startswith("fakeface."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("fakeface.")}
    return found


def modules() -> dict[str, Path]:
    return {path.stem: path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}


def test_every_module_has_its_place():
    assert sorted(modules()) == sorted(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_downwards_only(name):
    known = imports(modules()[name]) & set(ORDER)
    above = [other for other in known if ORDER.index(other) >= ORDER.index(name)]
    assert not above, f"{name} imports {above}"


@pytest.mark.parametrize("name", ORDER)
def test_the_package_never_imports_training_or_the_page(name):
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {n.split(".")[0] for n in names} & {"train", "app", "gradio", "tests"}


def test_the_public_api_is_pinned():
    assert sorted(fakeface.__all__) == [
        "Analysis",
        "Box",
        "CheckpointError",
        "Consensus",
        "DetectorError",
        "Face",
        "FaceReport",
        "FakefaceError",
        "Finding",
        "Heatmap",
        "ImageError",
        "Judge",
        "Quality",
        "Score",
        "Status",
        "Variant",
        "Verdict",
        "analyse",
        "analyse_file",
        "decode",
        "default",
        "installed",
        "load",
        "open_detector",
        "overlay",
        "to_dict",
    ]
    for name in fakeface.__all__:
        assert getattr(fakeface, name).__doc__, f"{name} has no docstring"


def test_what_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = fakeface.nonsense
