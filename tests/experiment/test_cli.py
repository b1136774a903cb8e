"""What a user sees of `dsrnss fit` and its sisters: defaults, run folders, resuming, and every kind of mistake."""

import functools
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsrnss import cli as command
from dsrnss.errors import CheckpointError, DatasetNotFoundError, HardwareError, UsageError
from dsrnss.experiment import arguments, cli, run

HERE = Path(__file__).parent
SOURCES = str(Path(cli.__file__).resolve().parents[2])
EXPERIMENT = """\
trainer:
  max_steps: 6
  accelerator: cpu
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
checkpoint:
  every_n_train_steps: 4
model:
  optimizer: {lr: 0.1}
data:
  source:
    class_path: standins.Numbers
    init_args:
      length: 16
  val:
    night: {class_path: standins.Numbers, init_args: {length: 2}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with one experiment in it, and the stand-ins in the place of task and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    standins = importlib.import_module("standins")
    replaced = functools.partial(cli.build, model_class=standins.Task, data_class=standins.Data)
    monkeypatch.setattr(cli, "build", replaced)
    monkeypatch.setattr(run, "build", replaced)
    Path("e.yaml").write_text(EXPERIMENT)
    return tmp_path


def fit(*words: str) -> int:
    return run.main(["fit", "--config", "e.yaml", *words])


def message(*words: str) -> str:
    with pytest.raises(UsageError) as raised:
        fit(*words)
    return str(raised.value)


def in_file(old: str, new: str) -> str:
    assert old in EXPERIMENT
    Path("e.yaml").write_text(EXPERIMENT.replace(old, new))
    return message()


class TestBuilding:
    def test_values_that_belong_together_are_stated_once(self, here: Path) -> None:
        built = cli.build("fit", ["e.yaml"], ["--seed_everything", "5"])
        assert built.model.schedule.max_steps == built.trainer.max_steps == 6
        assert built.datamodule.seed == built.model.seed == 5
        assert built.model.label_space is built.datamodule.source.label_space

    def test_defaults_are_one_device_and_a_seed(self, here: Path) -> None:
        built = cli.build("fit", ["e.yaml"])
        assert built.config["seed_everything"] == 0
        assert built.config["trainer"]["devices"] == 1

    def test_building_with_everything_switched_off_leaves_no_trace(self, here: Path) -> None:
        cli.build("fit", ["e.yaml"], ["--trainer.logger=false", "--trainer.enable_checkpointing=false"])
        assert sorted(path.name for path in here.iterdir()) == ["e.yaml"]


class TestRunning:
    def test_fit_writes_a_run_folder_and_names_the_next_command(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit() == 0
        run = Path("lightning_logs/e/version_0")
        assert {"config.yaml", "metrics.csv", "checkpoints"} <= {path.name for path in run.iterdir()}
        out = capsys.readouterr().out
        assert f"dsrnss validate --config e.yaml --ckpt_path {run}/checkpoints/last.ckpt" in out
        assert "dsrnss segment PHOTO.jpg --model" in out

    def test_last_checkpoint_holds_the_last_step(self, here: Path) -> None:
        fit()  # six steps, a checkpoint every four
        checkpoint = torch.load("lightning_logs/e/version_0/checkpoints/last.ckpt", weights_only=False)
        assert checkpoint["global_step"] == 6

    def test_saved_configuration_runs_again(self, here: Path) -> None:
        fit()
        saved = "lightning_logs/e/version_0/config.yaml"
        assert run.main(["validate", "--config", saved, "--ckpt_path", "last"]) == 0

    def test_resume_from_last_goes_on_at_its_step(self, here: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "dsrnss")
        fit()
        assert fit("--ckpt_path", "last", "--trainer.max_steps", "9") == 0
        assert "version_0/checkpoints/last.ckpt" in caplog.text
        checkpoint = torch.load("lightning_logs/e/version_1/checkpoints/last.ckpt", weights_only=False)
        assert checkpoint["global_step"] == 9

    def test_runs_of_other_experiments_are_not_resumed(self, here: Path) -> None:
        fit()
        Path("e.yaml").rename("other.yaml")
        with pytest.raises(CheckpointError, match=r"no checkpoint of 'other'.*lightning_logs/e/version_0"):
            run.main(["fit", "--config", "other.yaml", "--ckpt_path", "last"])

    def test_half_a_checkpoint_is_passed_over(self, here: Path, caplog: pytest.LogCaptureFixture) -> None:
        fit()
        whole = Path("lightning_logs/e/version_0/checkpoints/last.ckpt")
        torn = Path("lightning_logs/e/version_1/checkpoints/last.ckpt")
        torn.parent.mkdir(parents=True)
        torn.write_bytes(whole.read_bytes()[:500])
        assert run.main(["validate", "--config", "e.yaml", "--ckpt_path", "last"]) == 0
        assert f"{torn} is damaged and left out" in caplog.text

    def test_evaluation_makes_no_run_folder(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run.main(["validate", "--config", "e.yaml"]) == 0
        assert "Validate metric" not in capsys.readouterr().out, "Lightning's own table comes on top of ours"
        assert not Path("lightning_logs").exists()

    def test_predict_writes_train_ids(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run.main(["predict", "--config", "e.yaml"]) == 0
        folder = Path("predictions/e")
        assert str(folder) in capsys.readouterr().err
        labels = np.asarray(Image.open(folder / "night/labelTrainIds/city/1.png"))
        assert labels.shape == (3, 5)
        assert (labels == 1).all()

    @pytest.mark.slow
    def test_killed_run_is_resumed(self, here: Path) -> None:
        script = textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(HERE)!r})
            import standins
            from dsrnss.experiment import cli
            built = cli.build("fit", ["e.yaml"], ["--trainer.max_steps=1000000"], standins.Task, standins.Data)
            built.run()
        """)
        environment = {**os.environ, "PYTHONPATH": SOURCES}
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL, env=environment)
        last = Path("lightning_logs/e/version_0/checkpoints/last.ckpt")
        for _ in range(600):
            if last.is_file() or process.poll() is not None:
                break
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert last.is_file(), "the run ended before its first checkpoint"
        step = torch.load(last, weights_only=False)["global_step"]
        assert fit("--ckpt_path", "last", "--trainer.max_steps", str(step + 2)) == 0


class TestPaperCommandLine:
    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
    def test_gpus_without_a_gpu(self, here: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "dsrnss")
        with pytest.raises(HardwareError, match=r"no GPU.*\n.*--trainer\.accelerator cpu"):
            fit("--trainer.gpus", "1", "--trainer.precision", "16")
        assert "--trainer.accelerator gpu --trainer.devices 1" in caplog.text
        assert "16-mixed" in caplog.text

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
    def test_several_processes_on_the_cpu_are_asked_for_by_name(self, here: Path) -> None:
        with pytest.raises(HardwareError, match=r"sees no GPU.*--trainer\.accelerator cpu"):
            cli.build("fit", ["e.yaml"], ["--trainer.accelerator", "auto", "--trainer.devices", "2"])
        built = cli.build("fit", ["e.yaml"], ["--trainer.accelerator", "cpu", "--trainer.devices", "2"])
        assert built.trainer.world_size == 2

    def test_torchrun_says_how_many(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1"}
        for name, value in {**place, "TORCHELASTIC_RUN_ID": "1", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}.items():
            monkeypatch.setenv(name, value)
        built = cli.build("fit", ["e.yaml"], ["--trainer.accelerator", "cpu"])
        assert (built.trainer.world_size, built.trainer.num_nodes, built.trainer.num_devices) == (4, 2, 2)
        assert built.trainer.global_rank == 2, "also in a job of SLURM"

    def test_no_gpus_is_the_cpu_in_full_precision(self, here: Path) -> None:
        built = cli.build("fit", ["e.yaml"], ["--trainer.gpus=0", "--trainer.precision=16"])
        assert built.config["trainer"]["accelerator"] == "cpu"
        assert built.trainer.precision == "32-true"

    @pytest.mark.parametrize("kind", ["16", "bf16"])
    def test_weights_in_16_bits_are_refused(self, kind: str, here: Path) -> None:
        with pytest.raises(UsageError, match=rf"^trainer.precision: {kind}-true keeps .* Take {kind}-mixed"):
            cli.build("fit", ["e.yaml"], [f"--trainer.precision={kind}-true"])

    @pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
    def test_bf16_on_a_cpu_that_has_it(
        self, has_bf16: bool, expected: str, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(arguments, "cpu_has_bf16", lambda: has_bf16)
        built = cli.build("fit", ["e.yaml"], ["--trainer.gpus=0", "--trainer.precision=bf16"])
        assert built.trainer.precision == expected

    @pytest.mark.parametrize("joined", [True, False])
    def test_the_aligners_file(self, joined: bool, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "dsrnss")
        option, path = (
            "--model.init_args.alignment_head.init_args.pretrained",
            "pretrained_models/uawarpc_megadepth.ckpt",
        )
        words = [f"{option}={path}"] if joined else [option, path]
        args = [*arguments.translate(words), "--trainer.logger=false"]
        built = cli.build("fit", ["cityscapes_darkzurich/dsrnss_daformer.yaml"], args)
        assert built.model.method.aligner.weights == path
        assert f"is taken as --model.aligner.init_args.weights {path}" in caplog.text

    def test_a_value_that_is_missing(self) -> None:
        with pytest.raises(UsageError, match=r"--trainer\.gpus: its value is missing"):
            arguments.translate(["--trainer.gpus"])

    def test_gpus_in_a_file(self, here: Path) -> None:
        assert "e.yaml, line 2: 'trainer.gpus' is now" in in_file("max_steps: 6", "gpus: 1")


class TestWrongOptions:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--trainer.max_step", "3"], "Unknown option '--trainer.max_step'. Did you mean '--trainer.max_steps'?"),
            (["--max_steps", "3"], "Did you mean '--trainer.max_steps'?"),
            (["--trainer.max_steps", "abc"], "trainer.max_steps: expected a whole number, not 'abc'."),
            (["--model.evaluate", "techer"], "model.evaluate: expected one of 'student', 'teacher', not 'techer'."),
            (["--model.schedule.max_steps", "3"], "'model.schedule.max_steps' follows 'trainer.max_steps'"),
            (["--model.optimizer", "3"], "model.optimizer: expected a mapping of keys"),
            (["--data.source.lenght", "3"], "Unknown key 'lenght' of standins.Numbers (data.source). Did you"),
            (["--data.source.length", "x"], "data.source.length: expected a whole number, not 'x'."),
            (["--data.source.size", "[3,4,5]"], "data.source.size: expected 2 values, not [3, 4, 5]."),
            (["--data.source", "standins.Numers"], "no class 'standins.Numers'. Did you mean 'Numbers'?"),
            (["--data.source", "nowhere.Numbers"], "no module 'nowhere'"),
            (["--data.source", "standins.Task"], "'standins.Task' is not a Numbers."),
            (["--data.source", "Numers"], "expected a class with its module"),
            (["--trainer.accelerator", "gpuu"], "invalid accelerator name"),
            (["--trainer.gpus", "two"], "expected a number of GPUs, not 'two'"),
            (["extra.yaml"], "Unexpected argument 'extra.yaml'. Did you mean --config extra.yaml?"),
        ],
    )
    def test_message(self, here: Path, words: list[str], expected: str) -> None:
        text = message(*words)
        assert expected in text
        assert "e.yaml, line" not in text, "the mistake is on the command line, not in the file"


class TestWrongFiles:
    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ("max_steps: 6", "max_step: 6", "e.yaml, line 2: Unknown key 'trainer.max_step'. Did you mean"),
            ("trainer:", "trainr:", "Did you mean 'trainer."),
            ("max_steps: 6", "max_steps: six", "line 2: trainer.max_steps: expected a whole number, not 'six'"),
            ("length: 16", "lenght: 16", "e.yaml, line 15: Unknown key 'lenght' of standins.Numbers (data.source)."),
            ("length: 16", "length: many", "e.yaml, line 15: data.source.length: expected a whole number, not 'many'."),
            ("length: 2", "lenght: 2", "e.yaml, line 17: Unknown key 'lenght' of standins.Numbers (data.val)."),
            ("init_args:\n", "init_arg:\n", "Unknown key 'init_arg'"),
            ("standins.Numbers\n", "standins.Numers\n", "e.yaml, line 13: data.source: there is no class"),
            ("{lr: 0.1}", "{lrr: 0.1}", "e.yaml, line 10: Unknown key 'model.optimizer.lrr'. Did you mean"),
            ("{lr: 0.1}", "0.1", "'model.optimizer' is not one value but a mapping of keys: lr"),
            ("optimizer: {lr: 0.1}", "schedule: {max_steps: 3}", "'model.schedule.max_steps' follows 'trainer.max_st"),
            ("optimizer: {lr: 0.1}", "optimizer: {lr: 0.1", "e.yaml, line 11: not valid YAML"),
        ],
    )
    def test_message(self, here: Path, old: str, new: str, expected: str) -> None:
        assert expected in in_file(old, new)

    def test_list_instead_of_mapping(self, here: Path) -> None:
        Path("e.yaml").write_text("- a\n")
        assert "an experiment is a mapping of keys" in message()

    def test_missing_part(self, here: Path) -> None:
        Path("e.yaml").write_text("trainer: {max_steps: 3}\n")
        assert "Missing: data.source" in message()


class TestMissingThings:
    def test_misspelt_experiment(self, here: Path) -> None:
        with pytest.raises(UsageError, match=r"'e\.yml' not found.*Did you mean 'e\.yaml'"):
            run.main(["fit", "--config", "e.yml"])

    def test_data_set_error_reaches_the_user_as_it_is(self, here: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match="Data set Numbers not found"):
            fit("--data.source.missing", "true")
        assert not list(Path("lightning_logs").rglob("version_*")), "nothing ran, nothing stays"

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("nope.ckpt", "Checkpoint 'nope.ckpt' not found"),
            ("e.yaml", "not a complete checkpoint"),
            (".", "is a folder"),
            ("last", "no checkpoint of 'e' in lightning_logs/e"),
        ],
    )
    def test_checkpoint(self, here: Path, path: str, expected: str) -> None:
        with pytest.raises(CheckpointError) as raised:
            fit("--ckpt_path", path)
        assert expected in str(raised.value)

    def test_checkpoint_of_another_network(self, here: Path) -> None:
        fit()
        path = Path("lightning_logs/e/version_0/checkpoints/last.ckpt")
        checkpoint = torch.load(path, weights_only=False)
        checkpoint["state_dict"]["net.weight"] = torch.zeros(3, 3)
        torch.save(checkpoint, path)
        with pytest.raises(CheckpointError, match="is of another network"):
            fit("--ckpt_path", "last")

    def test_no_traceback_on_the_command_line(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["fit", "--config", "e.yaml", "--trainer.max_step", "3"]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: Unknown option")
        assert "Traceback" not in err
