"""A training of several processes, each started as `torchrun` starts it: `python several.py FOLDER WHAT`.

What came of each process `r` lies in `FOLDER/WHAT_r.pt`.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

SIZE = (64, 128)
STEPS, HALF = 6, 3


def start(folder: Path, what: str, world: int = 2) -> list[subprocess.Popen[str]]:
    """Start the processes, without a launcher that looks after them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "GROUP_RANK": "0"}
    place |= {"LOCAL_WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    sources = str(Path(__import__("dsrnss").__file__).parents[1])
    place["PYTHONPATH"] = os.pathsep.join([sources, os.environ.get("PYTHONPATH", "")])
    return [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), what],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def results(folder: Path, what: str, world: int = 2) -> list[dict[str, Any]]:
    """Run to the end, and read what each process has left."""
    import torch

    processes = start(folder, what, world)
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err[-3000:]
    return [torch.load(folder / f"{what}_{rank}.pt", weights_only=False) for rank in range(world)]


def make_task(**options: Any) -> Any:
    """All parts, those that draw among them."""
    import torch

    from dsrnss.adaptation.alignment import GivenAligner
    from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
    from dsrnss.adaptation.masking import MaskingConfig
    from dsrnss.adaptation.memory_bank import MemoryBankConfig
    from dsrnss.adaptation.mixing import MixingConfig
    from dsrnss.adaptation.prototypes import PrototypeConfig
    from dsrnss.models.config import NetworkConfig
    from dsrnss.training.schedule import OptimizerConfig, ScheduleConfig
    from dsrnss.training.task import AdaptationTask

    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "mixing": MixingConfig(threshold=0.1),
        "optimizer": OptimizerConfig(lr=1e-2),
        "schedule": ScheduleConfig(warmup_steps=0, max_steps=100),
        "memory_bank": MemoryBankConfig(interval=2, extra_classes=("road",)),
        "feature_distance": FeatureDistanceConfig(weight=0.01),
        "prototypes": PrototypeConfig(class_weights="tail"),
        "masking": MaskingConfig(weight=1.0),
        "aligner": GivenAligner(),
        "seed": 0,
    }
    return AdaptationTask(NetworkConfig("compact", "fpn", 8, dropout=0.5), **(defaults | options))


def make_data(batch_size: int = 1, *, target: bool = True) -> Any:
    """Five pictures to validate on: two processes do not get equally many."""
    from dsrnss.data import AdaptationDataModule, SynthNight

    night = SynthNight("target", length=12, size=SIZE, flow="true", labelled=True) if target else None
    return AdaptationDataModule(
        SynthNight("source", length=12, size=SIZE),
        night,
        val={"night": SynthNight("val", length=5, size=SIZE)},
        crop_size=SIZE,
        source_batch_size=batch_size,
        target_batch_size=batch_size,
        workers=0,
    )


def make_trainer(folder: Path, steps: int, *callbacks: Any, **options: Any) -> Any:
    import lightning as L

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"enable_checkpointing": False, "limit_val_batches": 0, **quiet, **options}
    return L.Trainer(max_steps=steps, accelerator="cpu", default_root_dir=folder, callbacks=[*callbacks], **options)


def make_witness() -> Any:
    """A callback that remembers pictures, losses and gradients of each step."""
    import lightning as L

    class Witness(L.Callback):
        def __init__(self) -> None:
            self.names: list[list[str]] = []
            self.losses: list[float] = []
            self.gradients: list[dict[str, Any]] = []

        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            self.gradients.append({name: p.grad.clone() for name, p in module.student.named_parameters()})

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            self.names.append([name for part in batch.values() for name in part["name"]])
            if outputs:
                self.losses.append(float(outputs["loss"]))

    return Witness()


def told(witness: Any) -> dict[str, Any]:
    return {name: getattr(witness, name) for name in ("names", "losses", "gradients")}


def state(task: Any, data: Any, witness: Any) -> dict[str, Any]:
    bank = task.method.bank.entries
    return {
        "student": task.student.state_dict(),
        "teacher": task.method.teacher.network.state_dict(),
        "frequency": task.method.frequency.frequency,
        "bank": [entry.images for entry in bank],
        "draws": task.method.generator.get_state(),
        "seen": data.samples_seen,
        **told(witness),
    }


def fit(folder: Path, steps: int, ckpt: str | None = None, **options: Any) -> tuple[dict[str, Any], Any]:
    """Train for some steps; also the trainer."""
    task, data, witness = make_task(), make_data(), make_witness()
    trainer = make_trainer(folder, steps, witness, **options)
    trainer.fit(task, datamodule=data, ckpt_path=ckpt and str(folder / ckpt), weights_only=True)
    return state(task, data, witness), trainer


def whole(folder: Path, together: dict[str, Any]) -> dict[str, Any]:
    """A run without a stop; one that stops in the middle, and one that goes on from there."""
    found, trainer = fit(folder, STEPS, **together)
    trainer.save_checkpoint(folder / "of_two.ckpt")
    _, trainer = fit(folder, HALF, **together)
    trainer.save_checkpoint(folder / "half.ckpt")
    resumed, _ = fit(folder, STEPS, "half.ckpt", **together)
    more: dict[str, Any] = {"resumed": resumed}
    if (folder / "of_one.ckpt").is_file():
        more["from_one"], _ = fit(folder, STEPS, "of_one.ckpt", **together)
    return found | more


def scores(folder: Path, together: dict[str, Any]) -> dict[str, Any]:
    """The confusion matrix of the validation set, and gradients without anything that looks at a whole batch."""
    task, data = make_task(), make_data()
    trainer = make_trainer(folder, 1, **{**together, "limit_val_batches": 1.0})
    trainer.validate(task, datamodule=data, verbose=False)
    confusion = task.results["night"].confusion
    task, data, witness = plain_task(), make_data(target=False), make_witness()
    make_trainer(folder, 3, frozen_norms(), witness, **together).fit(task, datamodule=data)
    return {"confusion": confusion, **told(witness)}


def skipping(folder: Path, together: dict[str, Any]) -> dict[str, Any]:
    """The second process meets a loss that is not finite in its second batch."""
    import lightning as L
    import torch

    class Spoil(L.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if index == 1 and trainer.global_rank == 1:
                batch["source"]["image"] = torch.full_like(batch["source"]["image"], torch.nan)

    task, data, witness = make_task(on_nonfinite="skip"), make_data(), make_witness()
    make_trainer(folder, 3, Spoil(), witness, **together).fit(task, datamodule=data)
    return state(task, data, witness)


def plain_task() -> Any:
    """No dropout, no draws, no part that counts over a batch."""
    import torch

    from dsrnss.adaptation.feature_distance import FeatureDistanceConfig
    from dsrnss.models.config import NetworkConfig
    from dsrnss.training.task import AdaptationTask

    torch.manual_seed(0)
    network = NetworkConfig("compact", "fpn", 8, drop_path=0, dropout=0)
    return AdaptationTask(network, feature_distance=FeatureDistanceConfig(weight=0), seed=0)


def frozen_norms() -> Any:
    import lightning as L
    from torch.nn.modules.batchnorm import _BatchNorm

    class Frozen(L.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            for one in module.modules():
                if isinstance(one, _BatchNorm):
                    one.eval()

    return Frozen()


def hang(folder: Path, together: dict[str, Any]) -> dict[str, Any]:
    """Train until something ends it, watched by the others."""
    import lightning as L

    from dsrnss.errors import TrainingError
    from dsrnss.training import peers

    class Tell(L.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            (folder / f"step_{trainer.global_rank}").write_text(str(os.getpid()))
            if trainer.global_rank == 1 and (folder / "fail").exists():
                raise TrainingError("the second one cannot go on")

    peers.SILENT = int(os.environ.get("SILENT", "5"))
    watch = peers.Peers()
    with watch:
        make_trainer(folder, 10**6, watch, Tell(), **together).fit(make_task(), datamodule=make_data())
    return {}


def main() -> None:
    import torch

    from dsrnss.training.processes import end_group_at_exit

    folder, what = Path(sys.argv[1]), sys.argv[2]
    world = int(os.environ["WORLD_SIZE"])
    together = {"devices": world, "strategy": "ddp"}
    found = globals()[what](folder, together)
    end_group_at_exit()
    torch.save(found, folder / f"{what}_{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main()
