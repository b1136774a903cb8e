"""Checks of whole data sets: every file, every pair, every label."""
