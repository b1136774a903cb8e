"""Decoder heads: feature maps in, logits out."""
