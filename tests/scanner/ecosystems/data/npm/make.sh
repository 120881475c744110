#!/bin/sh
# Makes the lockfiles and trees of this folder, each by the tool whose format it is. Needs node with npm, and a registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

project() {
    mkdir -p "$work/$1/lib"
    cat >"$work/$1/package.json" <<'JSON'
{
  "name": "app",
  "version": "1.0.0",
  "dependencies": {"is-odd": "3.0.1", "odd-six": "npm:is-number@6.0.0", "@sindresorhus/is": "0.7.0", "own": "file:./lib"},
  "optionalDependencies": {"noop2": "2.0.0"},
  "devDependencies": {"is-even": "1.0.0"}
}
JSON
    echo '{"name": "own", "version": "1.0.0", "dependencies": {"isarray": "2.0.5"}}' >"$work/$1/lib/package.json"
    cd "$work/$1"
}
run() { # a package with its version, its command, arguments
    package=$1 && shift
    npm exec --yes --package "$package" -- "$@" >&2
}

for version in 1 2 3; do
    project "npm$version"
    npm install --package-lock-only --lockfile-version "$version" --ignore-scripts --no-audit --no-fund >&2
    cp package-lock.json "$here/package-lock-v$version.json"
done
for version in 7.33.7 8.15.9 10.12.1 12.4.2; do
    project "pnpm$version"
    run "pnpm@$version" pnpm install --lockfile-only --ignore-scripts
    cp pnpm-lock.yaml "$here/pnpm-lock-${version%%.*}.yaml"
done
project yarn1
run yarn@1.22.22 yarn install --ignore-scripts --no-progress
cp yarn.lock "$here/yarn-1.lock"
project yarn4
touch yarn.lock
echo 'enableGlobalCache: false' >.yarnrc.yml
run @yarnpkg/cli-dist@4.18.1 yarn install --mode=skip-build
cp yarn.lock "$here/yarn-4.lock"
cp .yarn/cache/is-odd-npm-3.0.1-*.zip "$here/is-odd.zip"
project bun
run bun@1.4.4 bun install --lockfile-only --ignore-scripts
cp bun.lock "$here/bun.lock"

# The paths of installed trees, as they lie there and as links.
for kind in pnpm:isolated yarn:pnpm; do
    project "tree-${kind%%:*}"
    if [ "$kind" = yarn:pnpm ]; then
        touch yarn.lock
        echo 'nodeLinker: pnpm' >.yarnrc.yml
        run @yarnpkg/cli-dist@4.18.1 yarn install --mode=skip-build
    else
        run pnpm@12.4.2 pnpm install --ignore-scripts
    fi
    find node_modules \( -type l -printf '%p -> %l\n' \) -o \( -name package.json -printf '%p\n' \) | LC_ALL=C sort >"$here/tree-${kind%%:*}.txt"
done

# Electron's archive of a folder: packages in each other, with a scope, unpacked beside it, and a link to one of the project's own.
mkdir -p "$work/asar" && cd "$work/asar"
declare_in() { # folder name version
    mkdir -p "app/$1" && echo "{\"name\":\"$2\",\"version\":\"$3\"}" >"app/$1/package.json"
}
declare_in . own 1.0.0
declare_in node_modules/a a 1.2.3
declare_in node_modules/a/node_modules/c c 0.1.0
declare_in node_modules/@s/b @s/b 2.0.0
declare_in node_modules/n n 3.0.0
declare_in packages/w w 4.0.0
echo x >app/node_modules/n/n.node
ln -s ../packages/w app/node_modules/w
run @electron/asar@3.4.1 asar pack app own.asar --unpack-dir '**/n'
cp own.asar "$here/"
