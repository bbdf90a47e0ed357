"""The page: one module for each tab, and what the tabs share. Only this package imports Gradio.

Handlers are plain functions: they take what the browser sent and return what it shows. The layout
of a tab stands below its handlers. `app.py` puts the tabs together.

On Hugging Face's ZeroGPU the package `spaces` lends the GPU, and must be imported before torch.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

spaces: Any = importlib.import_module("spaces") if importlib.util.find_spec("spaces") else None
