"""Downloads from the Hugging Face hub: resumable, checked, and visible only when whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from rnj_lsp.models.catalog import KnownFile, KnownModel
from rnj_lsp.models.library import (
    Installed,
    chosen,
    find_installed,
    installed,
    known,
    matches,
    models_folder,
    partial_folder,
    partials,
    remove,
    use,
)
from rnj_lsp.models.model import (
    KeyRefused,
    ModelBroken,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnreachable,
    RateLimited,
)

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Installed", "Progress", "chosen", "installed", "pull", "remove", "use"]

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes in all; what it raises ends the pull."""

SPARE_BYTES = 512 << 20
"""Room on the disk that a download leaves free."""


def pull(name: str, on_progress: Progress) -> Path:
    """Download the model `name` or `name:quantisation`, and return its file.

    A pull that was broken off goes on where it was. The file is checked against the hub's size
    and hash and appears among the installed ones only then. Blocks: call it in a thread. Raises
    a `ModelError` with one sentence. HF_ENDPOINT and HF_TOKEN mean what they always mean.
    """
    model, wanted = known(name)
    if not model.repository:
        raise ModelRefused(f"{model.name} comes with rnj-lsp; there is nothing to download")
    file = wanted or model.files[0]
    there = find_installed(f"{model.name}:{file.quantisation}")
    if there is not None:
        return there.path
    lock = filelock.FileLock(partial_folder() / f"{model.name}.{file.quantisation}.lock")
    try:
        with lock.acquire(timeout=0), _errors(model):
            return _pulled(model, file, on_progress)
    except filelock.Timeout as error:
        raise ModelRefused(f"{model.name} is being downloaded already") from error


@dataclass(frozen=True, slots=True)
class _Remote:
    """The file to download, as the hub describes it."""

    name: str
    revision: str
    size_bytes: int
    sha256: str | None


def _pulled(model: KnownModel, file: KnownFile, on_progress: Progress) -> Path:
    remote = _found(model, file)
    # The name holds what the file is, so a resumed download never mixes two versions.
    version = (remote.sha256 or remote.revision)[:32]
    partial = partial_folder() / f"{model.name}.{file.quantisation}.{version}.part"
    _require_room(partial, remote)
    _fetch(model, remote, partial, on_progress)
    _check(model, remote, partial)
    target = models_folder() / model.name / Path(remote.name).name
    target.parent.mkdir(exist_ok=True)
    os.replace(partial, target)
    for other in partials(model, file):
        other.unlink()
    return target


def _found(model: KnownModel, file: KnownFile) -> _Remote:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=_endpoint(), library_name="rnj-lsp")
    info = api.model_info(model.repository, files_metadata=True, timeout=30)
    siblings = info.siblings or []
    fitting = [item for item in siblings if matches(file, item.rfilename) and item.size]
    if not fitting:
        names = [item.rfilename for item in siblings if item.rfilename.lower().endswith(".gguf")]
        raise ModelNotFound(
            f"{model.repository} has no {file.quantisation} file; "
            f"it has {', '.join(names) or 'no GGUF file at all'}"
        )
    best = min(fitting, key=lambda item: len(item.rfilename))
    assert best.size is not None
    sha256 = best.lfs.sha256 if best.lfs is not None else None
    return _Remote(best.rfilename, info.sha or "main", best.size, sha256)


def _require_room(partial: Path, remote: _Remote) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    needed = remote.size_bytes - have + SPARE_BYTES
    free = shutil.disk_usage(partial.parent).free
    if free < needed:
        raise ModelRefused(
            f"{remote.name} needs {_gigabytes(needed)} on the disk of {partial.parent}, "
            f"and {_gigabytes(free)} are free"
        )


def _fetch(model: KnownModel, remote: _Remote, partial: Path, on_progress: Progress) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(
        model.repository,
        remote.name,
        revision=remote.revision,
        endpoint=_endpoint(),
    )

    class Bar(_Bar):
        """Passes the hub's progress on."""

        report = staticmethod(on_progress)

    with partial.open("ab") as out:
        have = out.tell()
        if have > remote.size_bytes:
            out.truncate(0)
            have = 0
        on_progress(have, remote.size_bytes)
        http_get(
            url,
            out,
            resume_size=have,
            headers=build_hf_headers(library_name="rnj-lsp"),
            expected_size=remote.size_bytes,
            tqdm_class=Bar,
        )


def _check(model: KnownModel, remote: _Remote, partial: Path) -> None:
    digest = hashlib.sha256()
    with partial.open("rb") as file:
        magic = file.read(4)
        digest.update(magic)
        while block := file.read(1 << 20):
            digest.update(block)
    if remote.sha256 is not None and digest.hexdigest() != remote.sha256:
        partial.unlink()
        raise ModelBroken(
            f"{remote.name} arrived damaged: its checksum is not the one of {model.repository}; "
            "it was thrown away, so pull it again"
        )
    if magic != b"GGUF":
        partial.unlink()
        raise ModelBroken(f"{remote.name} of {model.repository} is not a GGUF file")


@contextmanager
def _errors(model: KnownModel) -> Iterator[None]:
    import httpx2
    from huggingface_hub import errors

    place = _endpoint() or "the Hugging Face hub"
    try:
        yield
    except errors.GatedRepoError as error:
        raise KeyRefused(
            f"{model.repository} asks its users to accept its terms: do so on its page, "
            "and set HF_TOKEN"
        ) from error
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as error:
        raise ModelNotFound(
            f"{place} has no {model.repository}, or not for you; is HF_TOKEN right?"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise ModelUnreachable(
            f"{model.name} cannot be downloaded while HF_HUB_OFFLINE is set"
        ) from error
    except errors.HfHubHTTPError as error:
        raise _status_error(model, place, error.response.status_code) from error
    except httpx2.HTTPError as error:
        raise ModelUnreachable(
            f"{model.name} cannot be downloaded: {place} cannot be reached; "
            "what has come is kept, and the next pull goes on from there"
        ) from error
    except OSError as error:
        raise ModelBroken(f"{model.name} cannot be downloaded: {error}") from error


def _status_error(model: KnownModel, place: str, status: int) -> ModelError:
    if status in (401, 403):
        return KeyRefused(f"{place} wants a good HF_TOKEN for {model.repository} ({status})")
    if status == 429:
        return RateLimited(f"{place} has had too many requests for now; pull again later")
    return ModelBroken(f"{place} failed with {status} for {model.repository}; pull again later")


def _endpoint() -> str | None:
    """Return the hub that the user has set; its library reads that only once, at import."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


class _Bar:
    """What the hub's downloader wants of a progress bar."""

    report: Progress

    def __init__(self, *_: object, total: int = 0, initial: int = 0, **__: Any) -> None:
        self._total = total
        self._have = initial

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int) -> None:
        """Pass on that `count` more bytes are there; negative when they have to come again."""
        self._have += count
        self.report(self._have, self._total)
