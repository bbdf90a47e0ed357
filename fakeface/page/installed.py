"""The installed models, as the tabs need them."""

from __future__ import annotations

from dataclasses import dataclass

from fakeface.models import checkpoints, zoo
from fakeface.page.errors import describe_error
from fakeface.types import FakefaceError


@dataclass(frozen=True, slots=True)
class Installed:
    """What was installed when the page was started.

    Attributes:
        cards: of the models.
        default: the name of the one that judges unless another is chosen; None without a model.
        problem: a sentence where there is no model that can be used; else empty.
        broken: a sentence on each model that cannot be used.
    """

    cards: tuple[checkpoints.Card, ...] = ()
    default: str | None = None
    problem: str = ""
    broken: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Every sentence once."""
        return self.broken or ((self.problem,) if self.problem else ())

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Title and name of each, to choose from."""
        return [(zoo.title(card), card.name) for card in self.cards]

    @property
    def good(self) -> list[str]:
        """The names of those that judge well enough to be asked unless somebody objects."""
        return [card.name for card in self.cards if not zoo.weak(card)]

    def entries(self) -> list[zoo.Entry]:
        """All that there is to tell of each, the default first."""
        root = checkpoints.checkpoints_root()
        cards = sorted(self.cards, key=lambda card: card.name != self.default)
        return [zoo.make_entry(card, root / card.name) for card in cards]


def list_installed() -> Installed:
    """The installed models, or the sentence that says why there are none."""
    broken = tuple(describe_error(error) for error in checkpoints.broken().values())
    try:
        return Installed(tuple(checkpoints.installed()), checkpoints.default(), broken=broken)
    except FakefaceError as error:
        return Installed(problem=describe_error(error), broken=broken)
