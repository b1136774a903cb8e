"""From a photograph to labels: finding and decoding pictures, segmenting them, writing the results.

Nothing here imports Lightning, and `sources` and `results` do not import torch.
"""
