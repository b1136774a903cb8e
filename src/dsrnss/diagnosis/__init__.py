"""What `dsrnss doctor` tells: the machine, what is installed, where things lie, and what is missing for which command.

Nothing here imports torch, which may not be installed, or be what is broken.
"""
