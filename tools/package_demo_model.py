"""Put a source network into the package: the one that `dsrnss demo` adapts and `dsrnss segment` uses by default.

Usage, after `dsrnss fit --config synthnight/source.yaml`:
`python tools/package_demo_model.py lightning_logs/synthnight/source/version_0/checkpoints/last.ckpt`.
"""

import argparse
from pathlib import Path

from dsrnss.models.weights import DEMO_MODEL, load_pretrained, save_pretrained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="checkpoint of `dsrnss fit --config synthnight/source.yaml`")
    read = load_pretrained(parser.parse_args().checkpoint)
    card = {**read.card, "trained_on": "SynthNight day scenes", "experiment": "synthnight/source.yaml"}
    path = save_pretrained(read.segmentor, DEMO_MODEL, read.label_space, card)
    print(f"Wrote {path}, {path.stat().st_size / 1e6:.1f} MB.")


if __name__ == "__main__":
    main()
