"""An analysis to take along as one HTML file that needs nothing else.

The page shows the same parts, from the same templates. Everything in them is escaped, for names
and metadata are a stranger's; the HTML runs no script, and tells browsers to load nothing for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import jinja2

from fakeface import __version__
from fakeface.evidence import NOT_LOOKED_FOR
from fakeface.report.pictures import embed
from fakeface.report.text import NOTE, count_faces, describe_picture, notes, percent
from fakeface.types import Analysis, Picture, Verdict

_FOLDER = Path(__file__).with_name("templates")

# A verdict is never told by its colour alone: a mark and words go with it.
MARKS: Final = {Verdict.FAKE: "!", Verdict.REAL: "✓", Verdict.UNSURE: "?"}
WORDS: Final = {
    Verdict.FAKE: "AI-generated",
    Verdict.REAL: "no sign of AI found",
    Verdict.UNSURE: "unsure",
}
STYLES: Final = {Verdict.FAKE: "fake", Verdict.REAL: "real", Verdict.UNSURE: "unsure"}


def to_html(analysis: Analysis, picture: Picture) -> str:
    """A report as one self-contained HTML page.

    Args:
        analysis: what was found; heatmaps are shown where it has them.
        picture: that was analysed.
    """
    template = environment().get_template("report.html")
    return template.render(
        analysis=analysis,
        judges={judge.model: judge for judge in analysis.judges},
        version=__version__,
        **embed(picture, analysis),
    )


def environment(*folders: Path) -> jinja2.Environment:
    """Jinja with the shared templates and words, and those of other folders."""
    out = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _FOLDER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    out.filters |= {"percent": percent, "notes": notes}
    out.globals |= {"marks": MARKS, "words": WORDS, "styles": STYLES, "note": NOTE}
    out.globals |= {"count_faces": count_faces, "describe_picture": describe_picture}
    out.globals |= {"not_looked_for": NOT_LOOKED_FOR}
    return out
