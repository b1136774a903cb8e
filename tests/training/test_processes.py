"""The end of processes that trained together."""

import subprocess
import sys

SCRIPT = """
import atexit, sys
from torch import distributed
from dsrnss.training.processes import end_group_at_exit

def say():
    print("running" if distributed.is_initialized() else "ended")

atexit.register(say)  # called last: the other way round than registered
end_group_at_exit()  # nothing to end yet
distributed.init_process_group("gloo", store=distributed.FileStore(sys.argv[1], 1), rank=0, world_size=1)
end_group_at_exit()
end_group_at_exit()
say()
"""


def test_the_group_ends_before_the_process_does(tmp_path):
    words = [sys.executable, "-c", SCRIPT, str(tmp_path / "store")]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == ["running", "ended"]
