"""Networks as plain modules: tensors in, tensors out."""
