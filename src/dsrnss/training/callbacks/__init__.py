"""Callbacks of a run: what is watched, shown and written while it goes on."""
