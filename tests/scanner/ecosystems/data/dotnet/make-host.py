"""Makes host.gz: a program that has what .NET's own host has for a bundle, its signature among the variables.

A real host is to be had with the .NET SDK alone. This one is made by gcc, so that its sections are a linker's.
"""

import gzip
import subprocess
import tempfile
from pathlib import Path

SOURCE = """
#include <stdint.h>
#include <stdio.h>
/* eight bytes for the header's place, then the signature: bundle_marker.cpp */
volatile uint8_t placeholder[] = {
    0, 0, 0, 0, 0, 0, 0, 0,
    0x8b, 0x12, 0x02, 0xb9, 0x6a, 0x61, 0x20, 0x38, 0x72, 0x7b, 0x93, 0x02, 0x14, 0xd7, 0xa0, 0x32,
    0x13, 0xf5, 0xb9, 0xe6, 0xef, 0xae, 0x33, 0x18, 0xee, 0x3b, 0x2d, 0xce, 0x24, 0xb3, 0x6a, 0xae,
};
int main(void) { printf("%d\\n", placeholder[0]); return 0; }
"""

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "host.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-s", "-o", "host", "host.c"], cwd=folder, check=True)
    made = (Path(folder) / "host").read_bytes()
(Path(__file__).parent / "host.gz").write_bytes(gzip.compress(made, mtime=0))
