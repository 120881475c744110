"""Cuts the deps.json of a shared framework small.

pip download dotnetcore2==3.1.23 --no-deps --only-binary :all: --python-version 3.9 --platform manylinux1_x86_64
python make-framework.py dotnetcore2-3.1.23-py3-none-manylinux1_x86_64.whl
"""

import json
import sys
import zipfile
from pathlib import Path

NAME = "Microsoft.NETCore.App.deps.json"
# Files of each kind that a library keeps.
KEPT = 3

with zipfile.ZipFile(sys.argv[1]) as wheel:
    content = json.loads(wheel.read(f"dotnetcore2/bin/shared/Microsoft.NETCore.App/3.1.23/{NAME}"))
content["runtimes"] = {}
for libraries in content["targets"].values():
    for library in libraries.values():
        for kind, files in library.items():
            if kind != "dependencies":
                library[kind] = dict(list(files.items())[:KEPT])
(Path(__file__).parent / NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
