"""Running an experiment from the command line: built, run, and told what came of it."""

from collections.abc import Sequence

from dsrnss.experiment import files as experiments
from dsrnss.experiment import remarks
from dsrnss.experiment.cli import build
from dsrnss.experiment.failures import typed_failures
from dsrnss.training.callbacks.stopping import Stopped
from dsrnss.training.checkpoints import is_main_process


def main(argv: Sequence[str]) -> int:
    """Run an experiment.

    Args:
        argv: The command (`fit`, `validate`, `test`, `predict`) and its arguments.

    Returns:
        The exit code: 1 where `predict` wrote an archive that a test server would reject.

    Raises:
        UsageError: If the command line or the experiment file is wrong.
        CheckpointError: If a checkpoint is missing, broken or does not fit.
        HardwareError: If the device does not exist or its memory does not suffice.
    """
    command, words = argv[0], list(argv[1:])
    paths, args = experiments.split_arguments(words)
    with typed_failures(lambda: None):
        cli = build(command, paths, ["--help"] if "--help-all" in args else args)
    if command == "fit" and is_main_process():
        remarks.before_fit(cli)
    try:
        with typed_failures(lambda: cli.ckpt_path):
            cli.run()
    except Stopped as stop:
        if cli.trainer.is_global_zero:
            remarks.stopped(cli, stop)
        elif cli.stopping.saved:
            return 0  # all stop together, and the first process says how: a launcher takes another code for a failure
        raise
    return remarks.after(cli) if cli.trainer.is_global_zero else 0
