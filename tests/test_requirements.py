"""Users get bounds, developers get one version of everything, and nothing is unpickled."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FILES = tuple(f"requirements{part}.txt" for part in ("", "-ray", "-train", "-teach", "-dev"))
SOURCES = [
    ROOT / "app.py",
    *(path for part in ("fakeface", "train", "benchmarks") for path in (ROOT / part).rglob("*.py")),
]
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "shelve",
           "marshal"}  # fmt: skip
# Functions that unpickle, or may, unless they are told not to.
LOADERS = {"read_pickle", "load_state_dict_from_url", "load_url"}


def required(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    plain = (re.sub(r"\s*#.*", "", line) for line in lines)
    return [Requirement(line) for line in plain if line and not line.startswith("-r ")]


def locked() -> dict[str, str]:
    text = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"(?m)^([\w.-]+)==([\w.!+]+)", text))


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_has_a_lower_and_an_upper_bound(name: str) -> None:
    for requirement in required(name):
        signs = {specifier.operator for specifier in requirement.specifier}
        assert signs in ({">=", "<"}, {"=="}), str(requirement)  # == 1.2.* is both


@pytest.mark.parametrize("name", FILES)
def test_the_lock_file_holds_what_is_required(name: str) -> None:
    versions = {normal(key): value for key, value in locked().items()}
    for requirement in required(name):
        version = versions.get(normal(requirement.name), "")
        assert version and requirement.specifier.contains(version), f"run make lock: {requirement}"


def test_the_lock_file_names_no_place() -> None:
    text = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def unpickling(source: str) -> list[str]:
    """What of a source file unpickles, or may."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [node.module] if (node.module or "").split(".")[0] in PICKLES else []
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            unsafe = called == "torch.load" and given.get("weights_only") != "True"
            if unsafe or called.split(".")[-1] in LOADERS or called.endswith("hub.load"):
                found.append(called)
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{called} with allow_pickle")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "torch.hub.load('a', 'b')",
        "np.load(path, allow_pickle=True)",
        "pandas.read_pickle(path)",
    ],
)
def test_what_unpickles_is_found(source: str) -> None:
    assert unpickling(source)


def test_nothing_is_unpickled() -> None:
    """Weights are safetensors. A training run's state is read by torch.load as tensors only."""
    assert len(SOURCES) > 100
    found = {str(path): unpickling(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}
    assert unpickling("torch.load(path, weights_only=True)") == []
    assert unpickling("safetensors.torch.load(data)") == []
