# The set-up of the tests, which `make test` and `make slow` share: more Debian packages, and what stands in for others'
# services. Source it after setup.sh.
packages="$packages
busybox-static|is what the tests' small images hold
cosign|verifies our attestations
curl|calls servers with wrong tokens
faketime|gives a node a wrong clock
haproxy|balances the servers of docs/how-to/scaling.md
iproute2|gives a host under attack its addresses
chromium-headless-shell|shows the console and the HTML report
default-jre-headless|runs Maven's own comparison of versions
libmaven3-core-java|says how Maven orders versions
node-semver|says how npm orders versions
libarchive-tools|writes tar files as bazel rules do, to be read by ours
openssl|makes the certificates of a test's registry
php-cli|runs Composer's own comparison of versions
procps|tells whether containers run
php-composer-semver|says how Composer orders versions
postgresql|is the database of several servers
python3-rpm|says how rpm orders versions
ruby|says how RubyGems orders versions
skopeo|writes images in every form, to be read by ours"
# Debian's npm and others' exclude each other.
command -v npm >/dev/null || packages="$packages
npm|installs the identity provider of the tests"

# What stands in for AWS: ministack in an environment of its own, and AWS's emulator of Lambda's runtime, in build/aws.
make_aws() {
    aws=$checkout/build/aws
    stamp=$({ printf '%s\n' "$checkout" && $python -VV && cat tests/aws/requirements-*.txt; } | sha256sum)
    if [ "$(cat "$aws/stamp" 2>/dev/null)" = "$stamp" ]; then
        say 'Stand-ins for AWS: build/aws is up to date.'
        return
    fi
    say 'Stand-ins for AWS: installing ministack and the Lambda emulator into build/aws.'
    rm -rf "$aws" 2>/dev/null || as_root rm -rf "$aws"
    mkdir -p "$aws"
    $python -m venv "$aws/ministack"
    pip='-m pip --quiet --disable-pip-version-check --no-input'
    # shellcheck disable=SC2086 # one word an argument
    "$aws/ministack/bin/python" $pip install --require-hashes --only-binary :all: -r tests/aws/requirements-ministack.txt
    # shellcheck disable=SC2086
    "$aws/ministack/bin/python" $pip download --no-deps --require-hashes --only-binary :all: --dest "$aws" \
        -r tests/aws/requirements-emulator.txt
    case $(uname -m) in aarch64 | arm64) machine=arm64 ;; *) machine=x86_64 ;; esac
    $python - "$aws" "samcli/local/rapid/aws-lambda-rie-$machine" <<'END'
import pathlib, sys, zipfile

folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
(wheel,) = folder.glob("aws_sam_cli-*.whl")
emulator = folder / "aws-lambda-rie"
emulator.write_bytes(zipfile.ZipFile(wheel).read(name))
emulator.chmod(0o755)
wheel.unlink()
END
    printf '%s\n' "$stamp" >"$aws/stamp" # last: without it the next run starts over
}

# The identity provider at which tests sign in, npm's oidc-provider, in build/identity-provider.
make_identity_provider() {
    provider=$checkout/build/identity-provider
    pins=tests/identity/openid/real
    stamp=$({ printf '%s\n' "$checkout" && node --version && cat $pins/package.json $pins/package-lock.json; } | sha256sum)
    if [ "$(cat "$provider/stamp" 2>/dev/null)" = "$stamp" ]; then
        say 'Identity provider: build/identity-provider is up to date.'
        return
    fi
    say 'Identity provider: installing oidc-provider into build/identity-provider.'
    rm -rf "$provider" 2>/dev/null || as_root rm -rf "$provider"
    mkdir -p "$provider"
    cp $pins/package.json $pins/package-lock.json "$provider"
    (cd "$provider" && npm ci --silent --ignore-scripts --no-audit --no-fund)
    printf '%s\n' "$stamp" >"$provider/stamp" # last: without it the next run starts over
}

set_up_tests() {
    set_up
    (
        flock 9
        make_aws
        make_identity_provider
        make_fuzzer
    ) 9<"$checkout"
}
