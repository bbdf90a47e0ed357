"""Results as JSON that people can read, too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakeface.files import write_atomically

# Results that are not of one shipped model, below the folder that a command runs in.
RESULTS = Path("results")


def round_numbers(value: Any) -> Any:
    """Numbers to five digits after the point, in any nesting."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, Mapping):
        return {key: round_numbers(v) for key, v in value.items()}
    return [round_numbers(v) for v in value] if isinstance(value, list | tuple) else value


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote, or nothing where there is no such file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write results, whole or not at all; what nests no further stands on one line."""
    text = json.dumps(round_numbers(content), indent=1, ensure_ascii=False)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: re.sub(r"\n *", " ", found[0]), text)
    write_atomically(path, f"{text}\n".encode())
