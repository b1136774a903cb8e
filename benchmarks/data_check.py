"""`data check` on thousands of small files with planted defects: time, defects found and missed, false alarms.

python benchmarks/data_check.py --pairs 1000 --workers 2
"""

import argparse
import contextlib
import resource
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent / "tests" / "data" / "checking")]

import planted  # noqa: E402

from dsrnss.commands.data.targets import folder_target  # noqa: E402
from dsrnss.data.checking.check import check_sets  # noqa: E402
from dsrnss.data.checking.quick import quick_check  # noqa: E402
from dsrnss.errors import DsrnssError  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs", type=int, default=1000, help="pairs of Cityscapes train; all files are about 5 times"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=planted.SIZE, help="height, width; multiples of 4")
    args = parser.parse_args()
    planted.SIZE = tuple(args.size)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        planter = planted.plant(Path(folder), args.pairs)
        print(f"{planter.files} files written in {time.perf_counter() - start:.1f} s")
        start, target = time.perf_counter(), folder_target(Path(folder))
        for dataset in target.sets.values():
            with contextlib.suppress(DsrnssError):  # some files are missing
                dataset.verify()
                quick_check(dataset)
        print(f"listed, as at the start of a training, in {time.perf_counter() - start:.1f} s")
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        target = folder_target(Path(folder))
        report = check_sets(target.sets, target.groups, workers=args.workers)
        seconds = time.perf_counter() - start
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        missed, false_alarms = planted.compare(planter, report.problems)
    print(f"checked in {seconds:.1f} s with {args.workers} processes, {memory:.0f} MB more of memory")
    print(f"planted {len(planter.defects)}, found {len(planter.defects) - len(missed)}, missed {missed}")
    print(f"false alarms {len(false_alarms)}: {false_alarms}")
    if missed or false_alarms:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
