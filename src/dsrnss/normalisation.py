"""How pixels become numbers for a network: one place for the statistics that all parts must share."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of RGB in [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of RGB in [0, 1]."""
