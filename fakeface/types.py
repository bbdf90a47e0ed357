"""The records that every layer passes on, and the exception tree.

Conventions, everywhere in the project:
    fake = 1 = the positive class; a probability is always p(fake), in [0, 1].
    Pictures are upright RGB, uint8, shape (H, W, 3). Boxes are whole pixels of that upright
    picture: x and y of the top left corner, then width and height.

Exceptions, each with a message of one sentence that says what is wrong and what to do:

    FakefaceError
    ├── ImageError             the bytes cannot be turned into a picture
    │   ├── EmptyFile          there are no bytes
    │   ├── NotAnImage         the bytes are not a picture of any kind
    │   ├── UnsupportedFormat  a picture (or an archive, a film ...) of a format we do not read
    │   ├── DamagedImage       it begins as a picture and is truncated or corrupt
    │   └── ImageTooLarge      more bytes or more pixels than the limits allow
    ├── CheckpointError        a model folder cannot be used
    │   ├── CheckpointMissing  no such model, or one of its files is absent
    │   ├── CheckpointDamaged  the sha256 differs, or a file cannot be parsed
    │   └── CheckpointMismatch the tensors do not fit the backbone that the card names
    ├── DetectorError          the face detector cannot be started
    ├── EngineError            a network cannot be run by the engine that was asked for
    └── FetchError             a picture cannot be fetched from its address
        ├── AddressRefused     an address that is never opened: private, or not of the web
        ├── FetchFailed        the server does not answer, or answers with an error
        └── FetchTooLarge      more bytes than the limit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import deprecated

RULE = (
    "Models that are unsure abstain; the verdict is a side only if more than half of all models "
    "take it and none takes the other, else unsure."
)

RGB: TypeAlias = npt.NDArray[np.uint8]
FloatArray: TypeAlias = npt.NDArray[np.float32]


class FakefaceError(Exception):
    """Root of every error that fakeface raises on purpose."""


class ImageError(FakefaceError):
    """The bytes cannot be turned into a picture."""


class EmptyFile(ImageError):
    """There are no bytes."""


class NotAnImage(ImageError):
    """The bytes are not a picture of any kind."""


class UnsupportedFormat(ImageError):
    """A known kind of file, but none that fakeface reads."""


class DamagedImage(ImageError):
    """The file begins as a picture and is truncated or corrupt."""


class ImageTooLarge(ImageError):
    """More bytes or more pixels than the limits allow."""


class CheckpointError(FakefaceError):
    """A model folder cannot be used."""


class CheckpointMissing(CheckpointError):
    """No such model, or one of its files is absent."""


class CheckpointDamaged(CheckpointError):
    """The sha256 differs from the card's, or a file cannot be parsed."""


class CheckpointMismatch(CheckpointError):
    """The tensors do not fit the backbone that the card names."""


class DetectorError(FakefaceError):
    """The face detector cannot be started."""


class EngineError(FakefaceError):
    """A network cannot be run by the engine that was asked for."""


class FetchError(FakefaceError):
    """A picture cannot be fetched from its address."""


class AddressRefused(FetchError):
    """An address that is never opened: a private one, or one that is not of the web."""


class FetchFailed(FetchError):
    """The server does not answer, answers too slowly, or answers with an error."""


class FetchTooLarge(FetchError):
    """The answer has more bytes than the limit."""


class Verdict(StrEnum):
    """What is said of a face; the stored thresholds of a model decide."""

    FAKE = "AI-generated"
    REAL = "real"
    UNSURE = "unsure"


class Status(StrEnum):
    """What became of a file."""

    OK = "ok"
    NO_FACE = "no_face"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in whole pixels; x, y is the top left corner, and w, h are at least 1."""

    x: int
    y: int
    w: int
    h: int

    def __post_init__(self) -> None:
        if self.w < 1 or self.h < 1:
            raise ValueError(f"a box needs a width and a height of at least 1, not {self}")

    def as_list(self) -> list[int]:
        """[x, y, w, h], the order of the JSON contract."""
        return [self.x, self.y, self.w, self.h]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One file as it was read: its bytes and its pixels, which never travel apart.

    Attributes:
        data: the whole file, unchanged.
        sha256: of `data`, lower-case hex.
        rgb: upright RGB, uint8 (H, W, 3); of a moving picture, the frame that was looked at last.
        file: the name it was given under, for display; it is never opened.
        frames: how many pictures the file shows one after the other, or on pages.
        looked: which of them were looked at, counted from 0.
        notes: sentences on what could not be read beside the pixels, and on their colours.
        quantisation: of a JPEG the table of its first component, 64 steps row by row; else empty.
    """

    data: bytes
    sha256: str
    rgb: RGB
    file: str = ""
    frames: int = 1
    looked: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    quantisation: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Face:
    """One face that a detector found.

    Attributes:
        box: the face from forehead to chin, in YuNet's framing whichever detector found it.
        confidence: the detector's own score in [0, 1], or None where it has none (Haar).
        doubted: the detector is less sure of it than of 98 of 100 photographs of faces. Often such
            a face is covered, or drawn.
    """

    box: Box
    confidence: float | None = None
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """What a model says of the same face after the picture was saved again.

    Attributes:
        name: what was done to it, for people.
        p_fake, verdict: as of a picture that came in like this.
    """

    name: str
    p_fake: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Score:
    """What one model says of one face.

    Attributes:
        model: its name.
        logit: of the picture as it came, before calibration.
        p_fake: the calibrated probability, of the picture as it came.
        verdict: the final one, after the stability check.
        variants: the same face in re-encoded copies of the picture; empty without that check.
        alone: the verdict of the picture as it came; None without the check.
        seconds: what the model took for all faces of the picture and all their variants, from
            crop to logit, waiting for other users of it included; heatmaps are not counted.
        by_chance: the face looks generated, but among the faces of its picture chance explains
            that, so that its verdict is unsure; see `fakeface.crowd`.
    """

    model: str
    logit: float
    p_fake: float
    verdict: Verdict
    variants: tuple[Variant, ...] = ()
    alone: Verdict | None = None
    seconds: float = 0.0
    by_chance: bool = False

    @property
    def stable(self) -> bool:
        """False where the verdict flipped in a variant, and so became unsure."""
        return self.by_chance or self.alone in (None, self.verdict)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Where a model looked.

    Attributes:
        model: its name.
        region: the part of the picture that `values` cover.
        values: float32 (h, w) in [0, 1].
        faithfulness: ROAD of this map (Rong et al., ICML 2022), in [-1, 1]: by how much more the
            model's answer changes where the hottest places are hidden than where the coldest are;
            higher is better. None where it was not asked for.
        random: the same of a map of random numbers, to compare with.
    """

    model: str
    region: Box
    values: FloatArray
    faithfulness: float | None = None
    random: float | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """What a face gives a model to go by.

    Attributes:
        face_side: the shorter side of its box, in pixels.
        sharpness: variance of the Laplacian of the face brought to a fixed size; 0 is a plain area.
        jpeg_quality: of the file, 1 to 100, estimated from its quantisation tables; None where it
            is no JPEG.
        familiarity: the out-of-distribution score of the first model: the share, in [0, 1], of its
            own validation photographs whose style lies farther from its training data than that of
            this face, so that 0 is the most unusual; None where it ships no reference.
        warnings: whole sentences, one for each of these that makes a score doubtful.
    """

    face_side: int
    sharpness: float
    jpeg_quality: int | None = None
    familiarity: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence in the file itself; it never changes a score.

    Attributes:
        kind: where it was found: "c2pa" (signed credentials), "iptc" (the digital source type and
            the older IPTC records), "xmp", "png" (text chunks), "exif", "comment", "pixels" (their
            lowest bits) or "file" (its order).
        title: a short line for people.
        detail: one or a few plain sentences. Words quoted from the file are cut short and free of
            control characters, but still a stranger's: whoever shows them escapes them.
        says: what it speaks for, if it is true; "edited" is software that works on pictures.
        trust: "trusted" is a signature that fits the file by a signer on the trust list, "valid"
            one by a signer nobody vouches for, "invalid" one that does not fit the file, and
            "unsigned" what anybody can write, and credentials that were not checked.
        checked: of signed credentials whether they hold: "holds" (signature and hashes fit),
            "does_not_hold" (one failed) or "not_checked" (nothing is fetched, or the form is too
            new or too old); "not_checked" too for a part of the file that could not be read. None
            for what is not signed, where there is nothing to check.
        scope: whether `says` is about the "whole" picture or a "part" of it; None where that is
            not said.
    """

    kind: str
    title: str
    detail: str
    says: Literal["ai", "camera", "edited", "unknown"]
    trust: Literal["trusted", "valid", "invalid", "unsigned"]
    checked: Literal["holds", "does_not_hold", "not_checked"] | None = None
    scope: Literal["whole", "part"] | None = None


@dataclass(frozen=True, slots=True)
class Consensus:
    """What several models say together.

    Attributes:
        verdict: theirs.
        agreeing: how many gave just this verdict by themselves.
        of: how many models there are.
        rule: the sentence by which it was decided.
    """

    verdict: Verdict
    agreeing: int
    of: int
    rule: str = RULE

    @classmethod
    def reach(cls, said: Sequence[Verdict]) -> Self:
        """By `rule`, from the verdict of each model; at least one."""
        sides = {verdict for verdict in said if verdict is not Verdict.UNSURE}
        verdict = sides.pop() if len(sides) == 1 else Verdict.UNSURE
        if 2 * said.count(verdict) <= len(said):
            verdict = Verdict.UNSURE
        return cls(verdict, said.count(verdict), len(said))

    @classmethod
    @deprecated("Consensus.reached is now Consensus.reach, and will go in 0.11.0.")
    def reached(cls, said: Sequence[Verdict]) -> Self:
        """The name of `reach` in 0.8.0."""
        return cls.reach(said)


@dataclass(frozen=True, slots=True)
class FaceReport:
    """A face with one score a model, in the order the models were named, and any heatmaps."""

    face: Face
    scores: tuple[Score, ...]
    heatmaps: tuple[Heatmap, ...] = ()
    quality: Quality | None = None

    @property
    def consensus(self) -> Consensus:
        """What the models say together; see `Consensus.rule`."""
        return Consensus.reach([score.verdict for score in self.scores])


@dataclass(frozen=True, slots=True)
class Crowd:
    """What one model says of a picture of several faces; see `fakeface.crowd`.

    Attributes:
        model: its name.
        faces: how many it judged, at least 2.
        generated: how many of them look generated, each seen for itself.
        expected: how many of as many faces of photographs would, by chance.
        p_fake: of the picture: the score at which a picture of one face would be as rare among
            photographs. It does not grow with the number of faces.
    """

    model: str
    faces: int
    generated: int
    expected: float
    p_fake: float


@dataclass(frozen=True, slots=True)
class Judge:
    """Which model it was, so that a report can be checked later.

    Attributes:
        model: its name.
        sha256: of its weights.
        real_below, fake_above: its thresholds on p(fake).
        title: what people call it; empty where it has no other name.
        summary: what it learnt from, in a sentence or two; empty where its card does not say.
        terms: of the data that it learnt from.
    """

    model: str
    sha256: str
    real_below: float
    fake_above: float
    title: str = ""
    summary: str = ""
    terms: str = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything found out about one file.

    Attributes:
        file: the name it was given under, for display.
        sha256: of the original bytes, lower-case hex; empty where the file could not be opened.
        status: ok, no_face or unreadable.
        width, height: of the upright picture, in pixels; 0 where unreadable.
        detector: which face detector looked.
        models: names in the order asked for; the first decides `verdict` and `p_fake`.
        faces: from left to right; empty unless status is ok.
        error: the sentence to show where status is unreadable.
        provenance: what the file itself says of its origin; it changes no score.
        judges: one for each of `models`.
        date: when it was judged, UTC, as in 2026-11-25T07:10:19Z.
        too_small: faces that were found, but have too few pixels to be judged.
        smallest: the height in pixels from which on the detector sees faces in this picture; 0
            where unreadable.
        crowds: one for each of `models`, where several faces were judged.
        frames: how many pictures the file shows one after the other, or on pages.
        frames_looked_at: which of them were looked at, counted from 0, until one had a face.
        notes: sentences on what could not be read beside the pixels, and on their colours.
    """

    file: str
    sha256: str
    status: Status
    width: int = 0
    height: int = 0
    detector: str = ""
    models: tuple[str, ...] = ()
    faces: tuple[FaceReport, ...] = field(default=())
    error: str | None = None
    provenance: tuple[Finding, ...] = ()
    judges: tuple[Judge, ...] = ()
    date: str = ""
    too_small: tuple[Face, ...] = ()
    smallest: int = 0
    crowds: tuple[Crowd, ...] = ()
    frames: int = 1
    frames_looked_at: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> int:
        """The frame that boxes and pixels of this analysis belong to, counted from 0."""
        return self.frames_looked_at[-1] if self.faces else 0

    def worst(self, model: str) -> Score | None:
        """The score of the most suspicious face by this model, or None without a face.

        The verdict counts before the probability: a face whose high score did not survive the
        stability check must not hide another whose verdict did.
        """
        scores = [s for f in self.faces for s in f.scores if s.model == model]
        order = (Verdict.REAL, Verdict.UNSURE, Verdict.FAKE)
        return max(scores, key=lambda s: (order.index(s.verdict), s.p_fake), default=None)

    def p_fake_by(self, model: str) -> float | None:
        """p(fake) of the picture by this model, or None without a face.

        That of its face, or, where there are several, `Crowd.p_fake`.
        """
        for crowd in self.crowds:
            if crowd.model == model:
                return crowd.p_fake
        worst = self.worst(model)
        return worst.p_fake if worst else None

    @property
    def p_fake(self) -> float | None:
        """p(fake) of the picture by the first model, or None without a face."""
        return self.p_fake_by(self.models[0]) if self.models else None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the most suspicious face by the first model, or None without a face."""
        worst = self.worst(self.models[0]) if self.models else None
        return worst.verdict if worst else None
