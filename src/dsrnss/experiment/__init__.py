"""Experiments: their files, the command line that runs one, and what an error of the configuration means."""
