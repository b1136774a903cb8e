"""Prepare Cityscapes: `python tools/convert_cityscapes.py ROOT`, the same as `dsrnss data prepare cityscapes ROOT`."""

import sys

from dsrnss.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "prepare", "cityscapes", *sys.argv[1:]]))
