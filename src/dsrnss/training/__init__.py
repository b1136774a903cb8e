"""What Lightning sees of the method: the task, its optimiser, its checkpoints."""
