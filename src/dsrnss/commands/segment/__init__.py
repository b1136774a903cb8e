"""`dsrnss segment`: label ids, colours and overlays of photographs, videos, cameras and streams."""
