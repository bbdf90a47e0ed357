"""Analysis -> JSON, text, HTML and a picture."""
