"""The data sets, each in its official layout, and what reads their label files."""
