"""CUDA's and cuDNN's libraries, for the scripts beside this one: the system's, else
those that torch of PyPI brings."""

import ctypes
import glob
import os
import sys

# What the object links, in the order in which they need each other.
CUDA = ["libcuda.so.1", "libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"]


def folders():
    """Where packages of PyPI keep them."""
    return [path for entry in sys.path for path in glob.glob(os.path.join(entry, "nvidia", "*", "lib"))]


def search_path(*first):
    """An LD_LIBRARY_PATH with the folders `first`, what is set, and PyPI's, in this order."""
    parts = [*first, os.environ.get("LD_LIBRARY_PATH", ""), *folders()]
    return ":".join(part for part in parts if part)


def open_all():
    """Opens CUDA's, for all in the process to find: those that torch has opened already
    are found by their names."""
    found = folders()
    for name in CUDA:
        for path in [name] + [os.path.join(folder, name) for folder in found]:
            try:
                ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
                break
            except OSError:
                continue
        else:
            sys.exit(f"{name} was not found: install CUDA 13's libraries, or torch, which brings them")
