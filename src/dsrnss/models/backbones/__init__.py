"""Encoders: images in, four feature maps out."""
