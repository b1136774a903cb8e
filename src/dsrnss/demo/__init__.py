"""The demo: a small network adapted from day to night, measured before and after."""
