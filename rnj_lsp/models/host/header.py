"""The first lines of a GGUF file, read without llama.cpp."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from rnj_lsp.models.model import HostFailed, ModelNotFound

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32, _STRING, _ARRAY = 4, 8, 9
_LONGEST_STRING = 64 << 20


def weight_type(path: Path) -> str:
    """Return the number that GGUF gives the file's quantisation, such as `7` for Q8_0, or `?`.

    Raises `ModelNotFound` where there is no such file, and `HostFailed` where it cannot be read
    or is not a GGUF file. Source of the format: the GGUF specification, versions 2 and 3.
    """
    if path.is_dir():
        raise ModelNotFound(f"{path} is a folder; name a GGUF file")
    try:
        with path.open("rb") as file:
            return _weight_type(file)
    except FileNotFoundError as error:
        raise ModelNotFound(f"there is no model file {path}") from error
    except OSError as error:
        raise HostFailed(f"the model file {path} cannot be read: {error.strerror}") from error
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise HostFailed(f"{path} is damaged or not a GGUF file; download it again") from error


def _weight_type(file: BinaryIO) -> str:
    if file.read(4) != b"GGUF":
        raise ValueError("no GGUF magic number")
    _, _, count = struct.unpack("<IQQ", _exactly(file, 20))
    for _ in range(count):
        key = _string(file)
        (kind,) = struct.unpack("<I", _exactly(file, 4))
        if key == b"general.file_type" and kind == _UINT32:
            return str(struct.unpack("<I", _exactly(file, 4))[0])
        if key.startswith(b"tokenizer."):
            # The general keys come first, and the vocabulary is long.
            return "?"
        _skip(file, kind)
    return "?"


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _string(file)
    elif kind == _ARRAY:
        inner, count = struct.unpack("<IQ", _exactly(file, 12))
        if inner in _SIZES:
            file.seek(_SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(file, inner)
    else:
        file.seek(_SIZES[kind], 1)


def _string(file: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", _exactly(file, 8))
    if length > _LONGEST_STRING:
        raise ValueError("a string longer than any real one")
    return _exactly(file, length)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError("the file ends too early")
    return data
