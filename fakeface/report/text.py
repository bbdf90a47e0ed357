"""Analysis -> text for people, and the words that all reports share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fakeface.faces import MIN_FACE
from fakeface.names import spell
from fakeface.types import Analysis, Consensus, FaceReport, Heatmap, Score, Status, Verdict

NOTE: Final = (
    "A score is evidence, not proof: models err, above all on generators and edits they have "
    "never seen, so do not accuse anybody on a score alone."
)

# Sentences with places to fill in, for whoever tells the same in another language than Python.
CROWD: Final = (
    "{generated} of {faces} faces {look} generated{of}; by chance one would expect {expected}."
)
UNSEEN: Final = (
    "The face detector that looked ({detector}) sees faces of about {smallest} pixels and more in "
    "this picture; smaller ones may be missing."
)


def to_text(analysis: Analysis) -> str:
    """A few lines for people; `NOTE` is left to whoever prints the last of them."""
    return "\n".join(_lines(analysis))


def _lines(analysis: Analysis) -> Iterator[str]:
    name = escape(analysis.file)
    if analysis.status is Status.UNREADABLE:
        yield f"{name}: unreadable. {escape(analysis.error or '')}".rstrip()
        return
    if analysis.status is Status.NO_FACE and not analysis.too_small:
        yield f"{name}: no face found, so there is nothing to judge."
    else:
        yield f"{name}: {count_faces(analysis)}"
    for note in (*describe_picture(analysis), *notes(analysis)):
        yield f"  {note}"
    width = max((len(model) for model in analysis.models), default=0)
    for number, report in enumerate(analysis.faces, 1):
        yield from _face_lines(number, report, width)
    for finding in analysis.provenance:
        standing = "not checked" if finding.checked == "not_checked" else finding.trust
        yield f"  in the file: {escape(finding.title)} ({standing}): {escape(finding.detail)}"


def _face_lines(number: int, report: FaceReport, width: int) -> Iterator[str]:
    """The lines of one face, with the names of models in a column of that width."""
    box = report.face.box
    yield f"  face {number}, {box.w} x {box.h} pixels at x {box.x}, y {box.y}"
    for score in report.scores:
        p = percent(score.p_fake)
        yield f"    {score.model:{width}}  {p:>5} likely AI-generated: {score.verdict.value}"
        heatmaps = [heatmap for heatmap in report.heatmaps if heatmap.model == score.model]
        about = (describe_chance(score), describe_flip(score))
        for line in (*about, *map(describe_faithfulness, heatmaps)):
            if line:
                yield f"    {'':{width}}  {line}"
    if len(report.scores) > 1:
        yield f"    {describe_consensus(report.consensus)}"
    for warning in report.quality.warnings if report.quality else ():
        yield f"    {warning}"


def count_faces(analysis: Analysis) -> str:
    """How many faces were found, and how many of them are too small to judge."""
    judged, small = len(analysis.faces), len(analysis.too_small)
    found = f"{judged + small} face{'s' if judged + small != 1 else ''}"
    if not small:
        return found
    which = "too small" if small == judged + small == 1 else f"{small} too small"
    return f"{found} found, {which} to judge (under {MIN_FACE} pixels)"


def describe_picture(analysis: Analysis) -> list[str]:
    """Sentences on the picture as a whole: what its faces say together, and what went unseen."""
    lines = []
    for crowd in analysis.crowds:
        of = f" to {crowd.model}" if len(analysis.models) > 1 else ""
        look = "looks" if crowd.generated == 1 else "look"
        expected = f"{crowd.expected:.1f}"
        lines.append(
            CROWD.format(
                generated=crowd.generated, faces=crowd.faces, look=look, of=of, expected=expected
            )
        )
    if analysis.smallest > MIN_FACE:
        lines.append(UNSEEN.format(detector=analysis.detector, smallest=analysis.smallest))
    return lines


def describe_chance(score: Score) -> str:
    """The sentence on a face that only chance made look generated; empty where it did not."""
    if not score.by_chance:
        return ""
    return (
        "By itself this face looks generated, but among so many faces chance explains one like it, "
        "so the verdict is unsure."
    )


def notes(analysis: Analysis) -> list[str]:
    """Sentences on the file itself: which frames were looked at, and what is odd beside them."""
    return [words for words in (describe_frames(analysis), *analysis.notes) if words]


def describe_frames(analysis: Analysis) -> str:
    """The sentence on which frames were looked at; empty for a file of one picture."""
    if analysis.frames == 1:
        return ""
    numbers = [str(frame + 1) for frame in analysis.frames_looked_at]
    looked = " and ".join([", ".join(numbers[:-1]), numbers[-1]] if numbers[1:] else numbers)
    if analysis.faces:
        seen = f"what is said here is of number {analysis.frame + 1}"
    else:
        seen = "none of these has a face"
    return f"This file holds {analysis.frames} frames or pages; looked at: {looked}; {seen}."


def describe_flip(score: Score) -> str:
    """The sentence on a verdict that flipped in a copy; empty where it did not."""
    if score.stable or not score.alone:
        return ""
    flips = [v.name for v in score.variants if v.verdict not in (score.alone, Verdict.UNSURE)]
    return (
        f"The picture as it came reads as {score.alone.value}, but a copy of it "
        f"({'; '.join(flips)}) reads as the opposite, so the verdict is unsure."
    )


def describe_faithfulness(heatmap: Heatmap) -> str:
    """The sentence on how far a heatmap can be trusted; empty where that was not measured."""
    if heatmap.faithfulness is None or heatmap.random is None:
        return ""
    return (
        f"How well the heatmap marks what decides (ROAD): {heatmap.faithfulness:+.2f}, against "
        f"{heatmap.random:+.2f} for a random map; higher is better."
    )


def describe_consensus(consensus: Consensus) -> str:
    """The sentence on what several models say together."""
    return (
        f"All models together: {consensus.verdict.value} ({consensus.agreeing} of {consensus.of}). "
        f"{consensus.rule}"
    )


def percent(p: float) -> str:
    """A probability for people, who should not be told 0 or 100 %."""
    if p < 0.01:
        return "<1 %"
    return ">99 %" if p > 0.99 else f"{p:.0%}".replace("%", " %")


def escape(name: str) -> str:
    """Text for a terminal: control characters and undecodable bytes in file names are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in spell(name))
