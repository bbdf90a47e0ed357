"""`python -m fakeface`."""

from fakeface.cli import entry

if __name__ == "__main__":
    entry()
