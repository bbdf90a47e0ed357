"""The old place of `swells`, for as long as the decoder imports it from here."""

from fakeface.evidence.exif import swells

__all__ = ["swells"]
