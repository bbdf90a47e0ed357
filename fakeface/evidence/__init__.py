"""What a file says of its own origin; it never changes a score."""
