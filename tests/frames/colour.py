#!/usr/bin/env python3
"""Writes tests/frames/colour.tsv: what OpenColorIO itself (pip install opencolorio==2.5.0)
makes of a few colours, from and to every colour space of the built-in config that Longtake
uses. One row: the space, 'from' (space to ACEScg) or 'to' (ACEScg to space), red, green and
blue given, red, green and blue made.

    python tests/frames/colour.py > tests/frames/colour.tsv
"""

import PyOpenColorIO as ocio

CONFIG = "studio-config-v2.1.0_aces-v1.3_ocio-v2.3"
WORKING = "ACEScg"
COLOURS = [
    (0.0, 0.0, 0.0),
    (0.18, 0.18, 0.18),
    (0.9, 0.4, 0.05),
    (0.02, 0.3, 0.7),
    (1.0, 1.0, 1.0),
    (-0.01, 0.5, 0.001),
]
BRIGHT = [(4.0, 2.5, 11.0), (60.0, 80.0, 100.0)]

config = ocio.Config.CreateFromBuiltinConfig(CONFIG)
spaces = config.getColorSpaces(
    ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL
)
for space in spaces:
    if space.isData():
        continue
    name = space.getName()
    for way, source, target in (("from", name, WORKING), ("to", WORKING, name)):
        processor = config.getProcessor(source, target).getDefaultCPUProcessor()
        # Above 1 an encoded value may stand for more light than a float holds.
        linear = way == "to" or space.getEncoding() == "scene-linear"
        for colour in COLOURS + (BRIGHT if linear else []):
            made = processor.applyRGB(list(colour))
            values = "\t".join(repr(float(v)) for v in (*colour, *made))
            print(f"{name}\t{way}\t{values}")
