"""The way of the data: a module imports only from those before it; the public API is pinned."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fakeface

PACKAGE = Path(fakeface.__file__).parent
ORDER = [
    "secrets",
    "types",
    "images.metadata",
    "evidence.provenance",
    "images.decoder",
    "images.fetch",
    "faces.boxes",
    "faces.tiles",
    "faces.haar",
    "faces.yunet",
    "faces.mtcnn",
    "faces.detector",
    "crowd",
    "models.backbones",
    "models.preprocess",
    "stability",
    "models.calibrate",
    "quality",
    "models.engine",
    "models.checkpoints",
    "explain",
    "analyse",
    "scan",
    "batch",
    "report.report",
    "models.zoo",
    "report.contract",
    "report.html",
    "cli",
    "__main__",
]


def imports(path: Path) -> set[str]:
    """The modules of fakeface that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = [*path.parent.relative_to(PACKAGE.parent).parts]
                package = package[: len(package) - node.level + 1]
                module = ".".join([*package, module]).rstrip(".")
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("fakeface.") for name in found if name.startswith("fakeface.")}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    }


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
