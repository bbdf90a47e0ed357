"""Bytes of strangers -> upright RGB pictures, safely; and fetching those bytes from an address."""
