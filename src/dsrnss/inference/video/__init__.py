"""Videos, cameras and streams: reading, segmenting in chunks that survive an interruption, writing."""
