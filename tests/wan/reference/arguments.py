"""What every script here is called with: FOLDER [--seed N] [--odd]."""

import argparse
from pathlib import Path


def parser(description):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--odd", action="store_true", help="odd sizes, where those stored are even")
    return parser
