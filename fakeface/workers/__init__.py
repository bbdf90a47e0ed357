"""Processes of our own that open strangers' files, with bounds on memory and on time."""
