"""The method, one idea a file: teacher, alignment, refinement, mixing, memory bank."""
