"""`python -m dsrnss`, the same as the `dsrnss` command."""

from dsrnss.cli import entry_point

if __name__ == "__main__":
    entry_point()
