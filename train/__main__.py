"""`python -m train COMMAND ...`: one table of all commands."""

from __future__ import annotations

import importlib
import sys

from fakeface.secrets import redact, redact_errors
from fakeface.types import FakefaceError
from train import COMMANDS


def main(argv: list[str] | None = None) -> None:
    """Run one command; without one, list them."""
    arguments = sys.argv[1:] if argv is None else argv
    name = arguments[0] if arguments else "--help"
    if name not in COMMANDS:
        print("usage: python -m train COMMAND ...; see also python -m train COMMAND --help\n")
        for known, (_, purpose) in COMMANDS.items():
            print(f"  {known:20} {purpose}")
        sys.exit(0 if name in ("-h", "--help") else f"\nThere is no command {name!r}.")
    redact_errors()
    sys.argv[0] = f"python -m train {name}"  # as the command's own help calls it
    try:
        importlib.import_module(f"train.{COMMANDS[name][0]}").main(arguments[1:])
    except FakefaceError as error:
        sys.exit(redact(f"error: {error}"))


if __name__ == "__main__":
    main()
