#!/bin/sh
# Makes the documents beside it: a Debian 13 with a few of its packages, one Python and one npm package, as Trivy (0.76) and
# Syft (1.18) describe it. Needs mmdebstrap, pip, trivy and syft; the Debian packages, MarkupSafe (BSD-3-Clause) and
# left-pad (WTFPL) are named in them, nothing of theirs is copied.
set -eu
cd "$(dirname "$0")"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mmdebstrap --variant=minbase trixie "$root/base.tar" /etc/apt/sources.list.d/debian.sources
mkdir "$root/small"
tar -xf "$root/base.tar" -C "$root/small" ./usr/lib/os-release ./etc/os-release ./etc/debian_version ./var/lib/dpkg/status
awk 'BEGIN { RS = ""; ORS = "\n\n" } /^Package: (bsdutils|libc6|libuuid1|perl-base|tar)\n/' \
  "$root/small/var/lib/dpkg/status" > "$root/status"
mv "$root/status" "$root/small/var/lib/dpkg/status"
python3 -m pip install -q --root-user-action=ignore --no-compile --target "$root/small/opt/app" MarkupSafe==3.0.3
mkdir -p "$root/small/opt/app/node_modules/left-pad"
echo '{"name": "left-pad", "version": "1.3.0"}' > "$root/small/opt/app/node_modules/left-pad/package.json"
for form in cyclonedx-json spdx-json; do
  syft -q "dir:$root/small" --source-name small --source-version "" -o "$form=syft.${form%-json}.json"
done
trivy -q rootfs --offline-scan --format cyclonedx -o trivy.cyclonedx.json "$root/small"
trivy -q rootfs --offline-scan --format spdx-json -o trivy.spdx.json "$root/small"
