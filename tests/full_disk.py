"""A disk that runs full."""

from __future__ import annotations

import io
from typing import Any

import pytest


def fill_disk(patch: pytest.MonkeyPatch, *, after: int) -> None:
    """Files that are opened unbuffered take so many writes, then half of one, then none.

    The rest goes to /dev/full, so that the error is the system's own.
    """
    left = after
    real = io.open

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            nonlocal left
            left -= 1
            if left >= 0:
                return super().write(data)
            if left == -1:
                return super().write(data[: len(data) // 2])
            with io.FileIO("/dev/full", "wb") as full:
                return full.write(data)

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if buffering == 0:
            return Full(file, mode.replace("b", ""))
        return real(file, mode, buffering, *rest, **more)

    patch.setattr(io, "open", opened)
