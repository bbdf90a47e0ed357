"""What the bytes of a picture say of its origin; `provenance.find` asks for all of it."""

from typing import Final

# To be shown wherever evidence is.
NOT_LOOKED_FOR: Final = (
    "Invisible watermarks, such as Google's SynthID, are not looked for: nobody but their makers "
    "can read them."
)
