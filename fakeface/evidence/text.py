"""Text from strangers, made safe to show."""

from __future__ import annotations


def clean(text: str, most: int = 80) -> str:
    """One line without control characters or marks that turn the writing round, cut short."""
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def quote(text: object) -> str:
    """`clean`, between quotation marks."""
    return f'"{clean(str(text)).replace(chr(34), chr(39))}"'
