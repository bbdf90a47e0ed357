"""Scores, metrics, and every measurement of a model."""
