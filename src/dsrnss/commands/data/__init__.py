"""`dsrnss data ...`, one command a file."""
