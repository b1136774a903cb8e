"""Running an experiment from the command line: built, run, and told what came of it."""

from collections.abc import Sequence

from dsrnss.errors import CheckpointError, HardwareError
from dsrnss.experiment import files as experiments
from dsrnss.experiment import remarks
from dsrnss.experiment.cli import ExperimentCLI, build
from dsrnss.training.callbacks.stopping import Stopped


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
    cli = build(command, paths, ["--help"] if "--help-all" in args else args)
    if command == "fit":
        remarks.before_fit(cli)
    try:
        _run(cli)
    except Stopped as stop:
        remarks.stopped(cli, stop)
        raise
    if cli.trainer.is_global_zero:
        return remarks.after(cli)
    return 0


def _run(cli: ExperimentCLI) -> None:
    import torch

    try:
        cli.run()
    except torch.OutOfMemoryError as error:
        raise HardwareError(
            "The GPU's memory does not suffice. Smaller crops (--data.crop_size), smaller batches or "
            f"--trainer.precision 16-mixed need less.\n{str(error).splitlines()[0]}"
        ) from error
    except RuntimeError as error:
        if "Error(s) in loading state_dict" not in str(error):
            raise
        lines = [line.strip() for line in str(error).splitlines()[1:4]]
        raise CheckpointError(
            f"'{cli.ckpt_path}' is of another network than this experiment describes:\n" + "\n".join(lines)
        ) from error
