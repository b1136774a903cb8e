"""Synthetic stand-ins in the layouts of the real data sets."""
