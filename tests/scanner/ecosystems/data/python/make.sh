#!/bin/sh
# Makes the lockfiles and the egg of this folder, each by the tool whose format it is. Needs uv and a package index.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_PYTHON=3 POETRY_VIRTUALENVS_CREATE=false PDM_CHECK_UPDATE=0

project() { # its name, and what goes before its dependency groups
    mkdir -p "$work/$1/lib/own"
    cat >"$work/$1/lib/pyproject.toml" <<'TOML'
[project]
name = "own"
version = "1.0"
dependencies = ["toolz==1.0.0"]
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
TOML
    touch "$work/$1/lib/own/__init__.py"
    cat >"$work/$1/pyproject.toml" <<'TOML'
[project]
name = "app"
version = "1.0.0"
requires-python = ">=3.11,<4"
dependencies = ["markdown-it-py==3.0.0", "own", "typing_extensions==4.15.0; python_version < '3.12'"]
[project.optional-dependencies]
extra = ["idna==3.11"]
[dependency-groups]
dev = ["iniconfig==2.1.0"]
TOML
    cd "$work/$1"
}

project uv
printf '[tool.uv.sources]\nown = {path = "lib"}\n' >>pyproject.toml
uv lock >&2
cp uv.lock "$here/uv.lock"
uv export --quiet --format pylock.toml --no-default-groups -o pylock.toml >&2
cp pylock.toml "$here/pylock.toml"
uv export --quiet --no-default-groups -o requirements.txt >&2
cp requirements.txt "$here/requirements.txt"

project poetry
cat >>pyproject.toml <<'TOML'
[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
own = {path = "lib"}
[[tool.poetry.source]]
name = "simple"
url = "https://pypi.org/simple"
TOML
uv tool run poetry@2.5.1 lock >&2
cp poetry.lock "$here/poetry.lock"

project pdm
sed -i 's|"own"|"own @ file:///${PROJECT_ROOT}/lib"|' pyproject.toml
uv tool run --with 'hishel==1.4.0' pdm@2.29.4 lock -G :all >&2
cp pdm.lock "$here/pdm.lock"

project pipenv
cat >Pipfile <<'TOML'
[packages]
markdown-it-py = "==3.0.0"
own = {path = "./lib"}
[dev-packages]
iniconfig = "==2.1.0"
TOML
uv tool run pipenv@2026.10.3 lock >&2
cp Pipfile.lock "$here/Pipfile.lock"

project egg
cd lib
echo 'from setuptools import setup; setup()' >setup.py
uv run --no-project --with 'setuptools<80' python setup.py --quiet bdist_egg >&2
cp dist/own-1.0-*.egg "$here/own.egg"
