"""`dsrnss fit|validate|test|predict`: hand over to the experiment machinery, which needs torch and Lightning."""

from collections.abc import Sequence

from dsrnss.commands.arguments import look_in_current_folder
from dsrnss.errors import UsageError

COMMANDS = {
    "fit": "train from an experiment file",
    "validate": "measure a checkpoint on the validation sets of an experiment",
    "test": "measure a checkpoint on the test sets of an experiment",
    "predict": "write predictions for the unlabelled sets of an experiment",
}

_HELP = """\
usage: dsrnss {command} --config FILE [--KEY VALUE ...]

{title}.

  -c, --config FILE           the experiment; a file, or the name of a packaged one:
                              {packaged}
                              may be given several times, later files win
  --ckpt_path PATH|last       checkpoint to {ckpt}; 'last' is the newest one of this experiment
  --trainer.max_steps N       optimiser steps; the learning rate schedule follows it
  --trainer.accelerator NAME  auto, cpu or gpu
  --trainer.devices N         GPUs of this machine, or processes (default: 1); under torchrun as many as it starts
  --trainer.precision P       32-true, 16-mixed or bf16-mixed
  --trainer.default_root_dir DIR
                              where `lightning_logs` is written (default: the current folder)
  --checkpoint.every_n_train_steps N
                              how often to write last.ckpt
  --seed_everything N         seed of every random choice, the data's included
  --print_config              print the complete experiment and stop
  --debug                     show the traceback of an error
  --help-all                  every key, with its type and default

{more}Every key of an experiment file is an option: `model: {{optimizer: {{lr: 1e-4}}}}` is `--model.optimizer.lr 1e-4`.
The data sets are looked for below $DATA_DIR.

examples:
  dsrnss {command} --config synthnight/adapt.yaml{example}
"""

_TESTED = """\
Scores, single pictures, the worst and best of them, and report.html, the page of the run, go into the folder
<checkpoint>_test beside the checkpoint. `dsrnss report` writes a page of several runs.

"""


def run(command: str, argv: Sequence[str]) -> int:
    """Run one of `COMMANDS`.

    Args:
        command: Its name.
        argv: What stands behind it on the command line.

    Returns:
        The exit code.

    Raises:
        UsageError: If there is no experiment file, or it cannot be read.
    """
    if "-h" in argv or "--help" in argv:
        print(help_text(command), end="")
        return 0
    # mistakes that can be seen without torch are answered before it is imported
    from dsrnss.experiment import files as experiments

    paths, _ = experiments.split_arguments(argv)
    for path in paths:
        experiments.read(path)
    if not argv:
        names = ", ".join(experiments.packaged_names())
        raise UsageError(f"dsrnss {command} needs an experiment: --config FILE.\nPackaged: {names}.")
    from dsrnss.experiment.run import main

    look_in_current_folder()
    return main([command, *argv])


def help_text(command: str) -> str:
    """The short help of a command; Lightning's own has several hundred options."""
    from dsrnss.experiment.files import packaged_names

    fit = command == "fit"
    return _HELP.format(
        command=command,
        title=COMMANDS[command].capitalize(),
        packaged=("\n" + " " * 30).join(packaged_names()),
        ckpt="go on from" if fit else "use",
        more=_TESTED if command == "test" else "",
        example=" --trainer.max_steps 100" if fit else " --ckpt_path last",
    )
