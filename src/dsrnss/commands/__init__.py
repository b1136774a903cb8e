"""The plain commands of `dsrnss`, one a file; nothing heavy is imported before a command runs."""
