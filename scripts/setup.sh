# The set-up that the scripts beside this file share: Debian packages, then .venv. Source it; it is POSIX sh.
# Each step looks first and does only what is missing, so a second run is quick and completes an interrupted one.

cd "$(dirname "$0")/.."
checkout=$PWD
venv=$checkout/.venv
python=/usr/bin/python3
PATH=$PATH:/usr/sbin:/sbin
export PATH

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line; do printf '       %s\n' "$line" >&2; done
    exit 2
}

# Runs a command as root. podman, apt and mmdebstrap are used as root here; everything else needs no rights.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -H -E "$@"
    else
        die "this needs root, and there is no sudo" "Run it as root."
    fi
}

# What the demo and the server need, and why. One "package|reason" a line.
packages='git|holds the pushed commits
python3|runs Dockgate
python3-venv|makes .venv
podman|builds images and runs containers
conmon|watches over a running container
crun|starts containers
runc|starts containers where crun cannot
netavark|gives containers their network
aardvark-dns|gives containers their names
nftables|publishes the ports of containers, and closes networks to builds
passt|connects builds to the network
e2fsprogs|makes the disks of builds
mount|mounts the disks of builds
uidmap|keeps the ids of builds apart from others
ca-certificates|says whose TLS certificates to trust
docker-registry|is the local registry (CNCF Distribution)
mmdebstrap|makes the base image out of the Debian archive
debian-archive-keyring|says whose signature the Debian archive bears'

# netavark before 1.10, as in Debian 12 and Ubuntu 24.04, publishes ports by iptables.
case $(. /etc/os-release && echo "$ID $VERSION_ID") in
    'debian 12' | 'ubuntu 24.04') packages="$packages
iptables|publishes the ports of containers" ;;
esac

# Installs what is missing of "$packages", and says what it is for.
install_packages() {
    names=$(printf '%s\n' "$packages" | cut -d'|' -f1)
    # shellcheck disable=SC2086 # one word a package
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $names 2>/dev/null | sed -n 's/^installed //p' || :)
    missing=
    for name in $names; do
        printf '%s\n' "$installed" | grep -qx "$name" || missing="$missing $name"
    done
    if [ -z "$missing" ]; then
        say "Debian packages: all there ($(printf '%s\n' "$names" | tr '\n' ' ' | sed 's/ $//'))."
        return
    fi
    say 'Debian packages needed:'
    printf '%s\n' "$packages" | while IFS='|' read -r name reason; do
        case " $missing " in *" $name "*) state=missing ;; *) state=there ;; esac
        printf '  %-23s %-8s %s\n' "$name" "$state" "$reason"
    done
    command -v apt-get >/dev/null || die 'there is no apt-get here' "Install by hand:$missing"
    say 'Installing the missing ones with apt-get.'
    apt_get() { as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >/dev/null; }
    as_root dpkg --configure -a >/dev/null # finishes an installation that was interrupted
    apt_get update || die 'apt-get update failed' 'See above; /etc/apt/sources.list.d says where the packages come from.'
    # shellcheck disable=SC2086
    apt_get install --no-install-recommends $missing ||
        die 'apt-get could not install the packages' 'See above. On Ubuntu, some of them are in "universe".'
}

# Makes the user that builds run under, with ids of its own; `dockgate doctor` looks for the same.
make_build_user() {
    user=dockgate-build
    if ! getent passwd $user >/dev/null; then
        say "Build user: adding $user, without a login."
        as_root useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin $user
    fi
    if grep -q "^$user:" /etc/subuid 2>/dev/null && grep -q "^$user:" /etc/subgid 2>/dev/null; then
        return
    fi
    first=$(sort -u /etc/subuid /etc/subgid 2>/dev/null |
        awk -F: 'BEGIN { first = 100000 } $2 + $3 > first { first = $2 + $3 } END { print first }')
    say "Build user: giving $user the ids from $first on."
    as_root usermod --add-subuids "$first-$((first + 65535))" --add-subgids "$first-$((first + 65535))" $user
}

# Makes .venv from requirements.lock, when it is not yet what the lock, pyproject.toml and python3 ask for.
make_venv() {
    [ -x $python ] || die "there is no $python" 'apt-get install python3'
    $python -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$($python --version) is too old" 'Dockgate needs Python 3.11 or newer, as in Debian 12 or Ubuntu 24.04.'
    stamp=$({ printf '%s\n' "$checkout" && $python -VV && cat requirements.lock pyproject.toml; } | sha256sum)
    if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ]; then
        say 'Python packages: .venv is up to date.'
        return
    fi
    say "Python packages: installing $(grep -c '^[^ ]*==' requirements.lock) from requirements.lock into .venv."
    rm -f "$venv/stamp" 2>/dev/null || as_root rm -f "$venv/stamp"
    $python -m venv --clear "$venv"
    pip="$venv/bin/python -m pip --quiet --disable-pip-version-check --no-input"
    $pip install --require-hashes --only-binary :all: -r requirements.lock
    $pip install --no-deps --no-build-isolation --editable .
    printf '%s\n' "$stamp" >"$venv/stamp" # last: without it the next run starts over
}

# The fuzzer of the API, schemathesis, in an environment of its own, in build/schemathesis.
make_fuzzer() {
    fuzzer=$checkout/build/schemathesis
    pins=tests/scenarios/requirements-schemathesis.txt
    stamp=$({ printf '%s\n' "$checkout" && $python -VV && cat $pins; } | sha256sum)
    if [ "$(cat "$fuzzer/stamp" 2>/dev/null)" = "$stamp" ]; then
        say 'Fuzzer of the API: build/schemathesis is up to date.'
        return
    fi
    say 'Fuzzer of the API: installing schemathesis into build/schemathesis.'
    rm -rf "$fuzzer" 2>/dev/null || as_root rm -rf "$fuzzer"
    $python -m venv "$fuzzer"
    "$fuzzer/bin/python" -m pip --quiet --disable-pip-version-check --no-input install --require-hashes \
        --only-binary :all: -r $pins
    printf '%s\n' "$stamp" >"$fuzzer/stamp" # last: without it the next run starts over
}

# Removes the rules of nftables that containers and servers have left behind which were killed.
remove_leftover_rules() {
    if pgrep -x conmon >/dev/null; then
        return
    fi
    # They catch later connections to the ports that the containers had. podman makes the table again with its next container.
    as_root nft delete table inet netavark 2>/dev/null || :
    # A server makes the table of its tasks' network when it starts, before its podman.
    if pgrep -f 'podman .*system service' >/dev/null; then
        return
    fi
    for table in $(as_root nft list tables inet | sed -n 's/^table inet \(dockgate[0-9a-f]*\)$/\1/p'); do
        as_root nft delete table inet "$table" 2>/dev/null || :
    done
}

# Style, types, the import table, and plain names.
# Types take as long as all other checks, which run meanwhile.
lint() {
    is_clean=yes
    "$venv/bin/mypy" &
    types=$!
    check_style || is_clean=no
    wait "$types" || is_clean=no
    [ "$is_clean" = yes ]
}

check_style() {
    "$venv/bin/ruff" check &&
        "$venv/bin/ruff" format --check &&
        "$venv/bin/lint-imports" &&
        "$venv/bin/python" -m scripts.language &&
        "$venv/bin/python" scripts/references.py
}

# One set-up at a time in this checkout; the lock is on the folder itself and ends with the subshell.
set_up() {
    (
        flock 9
        install_packages
        make_build_user
        make_venv
    ) 9<"$checkout"
}
