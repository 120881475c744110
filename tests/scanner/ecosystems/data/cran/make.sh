#!/bin/sh
# Takes the files beside it out of Debian's packages, and lets renv lock one of them (Debian 13: r-base-core, r-cran-renv,
# r-cran-commonmark, r-bioc-biocgenerics; nothing of it needs a network once they are installed).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for name in commonmark BiocGenerics; do
    mkdir -p "$here/$name"
    cp "/usr/lib/R/site-library/$name/DESCRIPTION" "$here/$name/"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
Rscript --vanilla - <<'R' >/dev/null
options(repos = c(CRAN = "https://cloud.r-project.org"), renv.consent = TRUE)
renv::lockfile_write(renv::lockfile_create(packages = "commonmark", libpaths = .libPaths()), "renv.lock")
R
cp renv.lock "$here/"
