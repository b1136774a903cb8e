"""Train and evaluate: `python tools/run.py fit --config configs/...`, the same as `dsrnss fit --config ...`."""

import sys

from dsrnss.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
