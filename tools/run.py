"""Train and evaluate: `python tools/run.py fit --config configs/...`, the same as `dsrnss fit --config ...`."""

from dsrnss.cli import entry_point

if __name__ == "__main__":
    entry_point()
