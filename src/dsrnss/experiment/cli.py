"""`dsrnss fit|validate|test|predict`: one experiment file, typed defaults, values that belong together stated once."""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins import CheckpointIO, LayerSync

from dsrnss.data.submission.archive import benchmarks
from dsrnss.errors import DsrnssError, UsageError
from dsrnss.experiment import arguments, loggers, slurm
from dsrnss.experiment import files as experiments
from dsrnss.experiment.default_callbacks import default_callbacks, predictions_folder
from dsrnss.experiment.explain import Context, check_groups, check_nulls, explain
from dsrnss.experiment.files import ExperimentFile
from dsrnss.experiment.quiet import hush
from dsrnss.training import checkpoints
from dsrnss.training.callbacks.panels import ImagePanels
from dsrnss.training.callbacks.predictions import PredictionWriter
from dsrnss.training.callbacks.stopping import StopOnSignal
from dsrnss.training.checkpoints import is_main_process
from dsrnss.training.peers import Peers
from dsrnss.training.processes import highest
from dsrnss.training.sync_norms import SyncNorms
from dsrnss.writing import prepare_folder

TRAINER_DEFAULTS: dict[str, Any] = {
    "devices": 1,
    "max_steps": 40_000,
    # validation is counted in steps over epoch borders, as in the paper
    "check_val_every_n_epoch": None,
    "val_check_interval": 4000,
    "log_every_n_steps": 10,
}

CHECKPOINT_DEFAULTS: dict[str, Any] = {
    # one file, last.ckpt, replaced every so many steps
    "save_last": True,
    "save_top_k": 0,
    "every_n_train_steps": 500,
}

_log = logging.getLogger(__name__)
LINKS = {
    "model.schedule.max_steps": "trainer.max_steps",
    "model.seed": "seed_everything",
    "data.seed": "seed_everything",
}
"""Keys that follow another one."""


class ExperimentCLI(LightningCLI):
    """Builds model, data and trainer from an experiment.

    Args:
        command: `fit`, `validate`, `test` or `predict`.
        model_class: The LightningModule.
        data_class: The LightningDataModule.
        files: The experiment files, in their order.
        args: The other arguments.
    """

    def __init__(
        self,
        command: str,
        model_class: type[LightningModule],
        data_class: type[LightningDataModule],
        files: Sequence[ExperimentFile],
        args: Sequence[str],
    ) -> None:
        hush()
        self.command = command
        self.files = files
        self.name = experiments.experiment_name([file.path for file in files])
        self.run_folder: Path | None = None
        self.ckpt_path: str | None = None
        self.weights_alone: str | None = None
        self.stopping, self.peers = StopOnSignal(self.save), Peers()
        super().__init__(
            model_class,
            data_class,
            save_config_kwargs={"overwrite": True},
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False, "prog": f"dsrnss {command}"},
            args=[*(word for file in files for word in ("--config", str(file.path))), *args],
            run=False,
            auto_configure_optimizers=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the checkpoint options and state the links."""
        parser.add_argument("--ckpt_path", type=str | None, default=None, help="A checkpoint, or 'last'.")
        if self.command == "predict":
            kinds: Any = Literal[tuple(benchmarks())] | None
            parser.add_argument("--submission", type=kinds, default=None, help="Also write the zip for a test server.")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({f"checkpoint.{key}": value for key, value in CHECKPOINT_DEFAULTS.items()})
        parser.add_lightning_class_args(ImagePanels, "panels")
        known = {action.dest for action in parser._actions}
        for key in LINKS.keys() & known:
            parser.link_arguments(LINKS[key], key, compute_fn=int)
        parser.link_arguments("data", "model.label_space", compute_fn=label_space, apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the experiment.

        Raises:
            UsageError: If a key or a value is wrong.
        """
        keys = [action.dest for action in parser._actions if action.dest not in (argparse.SUPPRESS, "help", "config")]
        context = Context(keys, self.files, args[2 * len(self.files) :])
        check_groups(context)
        for word in context.args:
            if (key := word.removeprefix("--").partition("=")[0]) in LINKS:
                raise UsageError(f"'{key}' follows '{LINKS[key]}': set that instead.")
        try:
            self.config = arguments.homes_expanded(parser.parse_args(args))
        except argparse.ArgumentError as error:
            raise UsageError(explain(error.message, context)) from error
        check_nulls(parser, context)
        arguments.check_seed(self.config.get("seed_everything"))

    def before_instantiate_classes(self) -> None:
        """Check the machine and the checkpoint before anything is built."""
        trainer = self.config["trainer"]
        arguments.take_processes(trainer)
        arguments.check_hardware(trainer)
        loggers.check_installed(trainer.get("logger"))
        arguments.check_trainer(trainer)
        precision = str(trainer.get("precision"))
        slow = "16" in precision and not (precision == "bf16-mixed" and arguments.cpu_has_bf16())
        if slow and arguments.runs_on_cpu(trainer):
            _log.info("%s is slower than full precision on this CPU; running in 32-true.", precision)
            trainer["precision"] = "32-true"
        if self.command == "fit" and self.config["checkpoint"].get("dirpath"):
            prepare_folder(self.config["checkpoint"]["dirpath"])
        self.ckpt_path = self._find_checkpoint(self.config["ckpt_path"])

    def instantiate_classes(self) -> None:
        """Build model, data and trainer; what a data set refuses is told as it says it.

        Raises:
            DsrnssError: Of the part that was refused.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:  # jsonargparse wraps errors of a linked value
            if isinstance(error.__cause__, DsrnssError):
                raise error.__cause__ from None
            raise
        except TypeError as error:  # inside init_args the parser lets every null pass
            if not (nulls := [name for file in self.files for name in file.nulls()]):
                raise
            raise UsageError(f"One of these cannot be null: {', '.join(nulls)}. ({error})") from error
        if self.weights_alone is not None:
            self.model.load_weights(self.weights_alone, self.model.evaluate)

    def _find_checkpoint(self, path: str | None) -> str | None:
        if path is None and self.command == "fit":
            requeued = slurm.checkpoint_of_this_job(self.root, self.name)
            if requeued is not None:
                _log.info("this SLURM job was put back into the queue: it goes on from %s.", requeued)
                return str(requeued)
        if path is None:
            if self.command != "fit":
                _log.info("no --ckpt_path: these are the weights that the experiment starts from.")
            return None
        if path != "last":
            found = checkpoints.locate(path)
            if found is None and not hasattr(self.model_class, "load_weights"):
                return path
            if found is None:
                self.weights_alone = path
                _log.info("'%s' holds weights alone, without optimiser and step: that is what is read of it.", path)
                return None
            return str(found)
        dirpath = self.config["checkpoint"].get("dirpath")
        found = checkpoints.find_last(self.root, self.name, [Path(dirpath)] if dirpath else [])
        _log.info("--ckpt_path last is %s.", found)
        return str(found)

    @property
    def root(self) -> Path:
        """The folder that holds `lightning_logs`."""
        return Path(self.config["trainer"].get("default_root_dir") or ".")

    @property
    def predictions(self) -> Path:
        """The folder that `predict` writes to."""
        return predictions_folder(self.root, self.name)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the default loggers, callbacks and the safe checkpoint writer.

        Raises:
            UsageError: If the trainer refuses its options.
        """
        config = self.config_init["trainer"]
        own = [] if config.get("logger") in (None, True, False) else _as_list(config["logger"])
        if self.command == "fit" and config.get("logger") is not False and loggers.lacks_folder(own):
            kwargs["logger"] = [*self._loggers(), *own]
        elif self.command != "fit" and not own:
            kwargs["logger"] = False
        logs = kwargs.get("logger", config.get("logger")) is not False
        if self.command != "fit" or not logs:
            self.save_config_callback = None
        unused = {"checkpoint"} if self.command != "fit" or config.get("enable_checkpointing") is False else set()
        unused |= {"panels"} if self.command != "fit" or not logs else set()
        self.parser.callback_keys = [key for key in self.parser.callback_keys if key not in unused]
        kwargs["callbacks"] = default_callbacks(
            self.command,
            [*_as_list(config.get("callbacks")), self.stopping, self.peers],
            config,
            logs=logs,
            name=self.name,
            root=self.root,
            submission=self.config.get("submission"),
        )
        plugins = _as_list(config.get("plugins"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(checkpoints.AtomicCheckpointIO())
        if config.get("sync_batchnorm") and not any(isinstance(plugin, LayerSync) for plugin in plugins):
            plugins.append(SyncNorms())
        if slurm.job_id() is not None:
            # Lightning looks there for checkpoints of whatever job; ours are in their run's folder
            kwargs["default_root_dir"] = self.run_folder or self.root / checkpoints.LOGS
            plugins += slurm.environment(plugins)
        kwargs["plugins"] = plugins
        try:
            return super().instantiate_trainer(**kwargs)
        except (ValueError, MisconfigurationException) as error:
            self.drop_empty_run()
            raise UsageError(f"trainer: {error}") from error

    def _loggers(self) -> list[Any]:
        self.run_folder = folder = checkpoints.claim_run(self.root, self.name, main_process=is_main_process())
        if is_main_process():
            slurm.remember(folder)
        return loggers.default_loggers(self.root, f"{checkpoints.LOGS}/{self.name}", folder.name)

    def drop_empty_run(self) -> None:
        """Remove the run's folder, if this process has made it and the run failed before its first step."""
        trainer = getattr(self, "trainer", None)
        failed = trainer is None or trainer.global_step == 0
        if self.run_folder is not None and failed and is_main_process():
            shutil.rmtree(self.run_folder, ignore_errors=True)

    def run(self) -> None:
        """Run the command, and leave the final weights in `last.ckpt`.

        Raises:
            Stopped: If a signal stopped it.
        """
        method = getattr(self.trainer, self.command)
        # the scores are told class by class afterwards
        more = {"fit": {}, "predict": {"return_predictions": False}}.get(self.command, {"verbose": False})
        with self.peers:
            try:
                with self.stopping.listening():
                    # a checkpoint is tensors and plain values: nothing in it may run code
                    method(self.model, datamodule=self.datamodule, ckpt_path=self.ckpt_path, weights_only=True, **more)
            except BaseException:
                self.drop_empty_run()
                raise
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, PredictionWriter):
                    callback.count_all()
            if self.command == "fit":
                every = self.config["checkpoint"]["every_n_train_steps"]
                there = (last := self.last_checkpoint) is not None and last.is_file()
                if highest(int(not (there and every and self.trainer.global_step % every == 0))):  # all save, or none
                    self.save()

    def save(self) -> None:
        """Write `last.ckpt`, if the run keeps checkpoints."""
        if self.last_checkpoint is not None:
            self.trainer.save_checkpoint(self.last_checkpoint)

    @property
    def last_checkpoint(self) -> Path | None:
        """Where the newest weights of this run are, or will be."""
        callback = self.trainer.checkpoint_callback
        if not isinstance(callback, ModelCheckpoint) or callback.dirpath is None:
            return None
        return Path(callback.last_model_path or Path(callback.dirpath) / "last.ckpt")


def label_space(data: Any) -> Any:
    """The label space of a data module, which is that of its source set."""
    return data.source.label_space


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def build(
    command: str,
    configs: Sequence[str | Path],
    args: Sequence[str] = (),
    model_class: type[LightningModule] | None = None,
    data_class: type[LightningDataModule] | None = None,
    cli_class: type[ExperimentCLI] = ExperimentCLI,
) -> ExperimentCLI:
    """Build model, data and trainer of an experiment, without running it.

    Args:
        command: `fit`, `validate`, `test` or `predict`.
        configs: Experiment files; paths, or names of packaged ones.
        args: Further options, as on the command line.
        model_class: The LightningModule; None takes `AdaptationTask`.
        data_class: The LightningDataModule; None takes `AdaptationDataModule`.
        cli_class: What builds them.

    Raises:
        UsageError: If a file or an option is wrong.
        CheckpointError: If a checkpoint is missing or broken.
        HardwareError: If the device does not exist.
    """
    files = [experiments.read(experiments.resolve(str(config))) for config in configs]
    for file in files:
        _check_file(file)
    if model_class is None:
        from dsrnss.training.task import AdaptationTask

        model_class = AdaptationTask
    if data_class is None:
        from dsrnss.data import AdaptationDataModule

        data_class = AdaptationDataModule
    return cli_class(command, model_class, data_class, files, arguments.translate(args))


def _check_file(file: ExperimentFile) -> None:
    """Refuse what would be overridden silently or is written otherwise today.

    Raises:
        UsageError: Naming the line.
    """
    for key, leader in LINKS.items():
        if key in file.lines:
            raise UsageError(f"{file.path}, line {file.lines[key]}: '{key}' follows '{leader}': set that instead.")
    if "trainer.gpus" in file.lines:
        raise UsageError(
            f"{file.path}, line {file.lines['trainer.gpus']}: 'trainer.gpus' is now 'trainer.accelerator: gpu' and "
            "'trainer.devices: N'."
        )
