"""The page that runs wholly in a visitor's browser: `python -m web.assemble`; see docs/web.md."""
