#!/bin/sh
# Makes the databases of this folder with rpm's own tools. Needs Debian's rpm, db5.3-util, python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=1700000000

# name, arch, what its spec says besides, its files section
build() {
    cat > "$work/$1.spec" <<SPEC
Name: $1
Summary: a package
License: none
Vendor: Rocky Enterprise Software Foundation
$3
%description
A package.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share/doc/$1 %{buildroot}/usr/lib/$1 %{buildroot}/etc
printf x > %{buildroot}/usr/bin/$1
printf x > %{buildroot}/usr/share/doc/$1/README
printf x > %{buildroot}/etc/$1.conf
ln -s $1 %{buildroot}/usr/bin/$1-link
for number in \$(seq 1 ${5:-1}); do printf x > %{buildroot}/usr/lib/$1/part-\$number-of-a-list-that-needs-more-than-a-page; done
%files
$4
SPEC
    rpmbuild -bb --quiet --target "$2" --define "_topdir $work" --define "_buildhost localhost" \
        --define "_rpmdir $work/rpms" --define "debug_package %{nil}" --define "use_source_date_epoch_as_buildtime 1" \
        --define "_unpackaged_files_terminate_build 0" --define "_build_id_links none" "$work/$1.spec"
}
all='%dir /usr/lib/NAME
/usr/lib/NAME/*
/usr/bin/NAME
/usr/bin/NAME-link
%doc /usr/share/doc/NAME/README
%config /etc/NAME.conf
%ghost /var/log/NAME.log'
files() { printf '%s' "$all" | sed "s/NAME/$1/g"; }

build bash x86_64 "Version: 5.1.8
Release: 9.el9" "$(files bash)
%package doc
Summary: made of the same source
%description doc
Nothing.
%files doc"
build openssl x86_64 "Version: 3.0.7
Release: 24.el9
Epoch: 1" "$(files openssl)"
build openssl i686 "Version: 3.0.7
Release: 24.el9
Epoch: 1" "$(files openssl)"
build nodejs x86_64 "Version: 18.19.1
Release: 1.module+el9.3.0+20+d23a2d4c
Epoch: 1
ModularityLabel: nodejs:18:9030020240301:rhel9" "$(files nodejs)" 300
build filesystem noarch "Version: 3.16
Release: 2~rc1.el9" ""

# A key lies among the packages as "gpg-pubkey". Any will do: here Debian's own, in the armour that rpm wants.
python3 - /usr/share/keyrings/debian-archive-trixie-stable.gpg > "$work/key.asc" <<'ARMOUR'
import base64, sys
raw = open(sys.argv[1], "rb").read()
print("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + base64.encodebytes(raw).decode() + "-----END PGP PUBLIC KEY BLOCK-----")
ARMOUR

for form in sqlite ndb; do
    rpmkeys --define "_db_backend $form" --define "_keyring rpmdb" --dbpath "$work/$form" --import "$work/key.asc"
    find "$work/rpms" -name '*.rpm' | LC_ALL=C sort | while read -r package; do
        rpm --define "_db_backend $form" --dbpath "$work/$form" -i --justdb --nodeps --ignorearch --ignoreos --nosignature \
            "$package"
    done
done

# Berkeley DB is read-only in today's rpm: the headers are dumped and loaded.
for order in 1234 4321; do
    mkdir "$work/bdb-$order"
    python3 - "$work/sqlite/rpmdb.sqlite" "$order" <<'DUMP' | db5.3_load -t hash "$work/bdb-$order/Packages"
import sqlite3, sys
path, order = sys.argv[1:]
rows = sqlite3.connect(path).execute("SELECT hnum, blob FROM Packages ORDER BY hnum").fetchall()
number = lambda value: value.to_bytes(4, "little" if order == "1234" else "big").hex()
print(f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_lorder={order}\ndb_pagesize=4096\nHEADER=END")
for key, value in [(number(0), number(len(rows))), *((number(key), blob.hex()) for key, blob in rows)]:
    print(f" {key}\n {value}")
print("DATA=END")
DUMP
done
for form in sqlite ndb bdb_ro; do
    folder="$work/${form%_ro}"
    [ "$form" = bdb_ro ] && folder="$work/bdb-1234"
    rpm --define "_db_backend $form" --dbpath "$folder" -qa --qf '%{NEVRA}\n' | LC_ALL=C sort > "$work/$form.txt"
    cmp "$work/sqlite.txt" "$work/$form.txt"
done

# As the makers of Azure Linux' distroless images query theirs.
rpm --dbpath "$work/sqlite" -qa --qf '%{NAME}\t%{VERSION}-%{RELEASE}\t%{INSTALLTIME}\t%{BUILDTIME}\t%{VENDOR}\t%{EPOCH}\t%{SIZE}\t%{ARCH}\t%{EPOCHNUM}\t%{SOURCERPM}\n' |
    LC_ALL=C sort > "$here/container-manifest-2"
gzip -9nc "$work/sqlite/rpmdb.sqlite" > "$here/rpmdb.sqlite.gz"
gzip -9nc "$work/ndb/Packages.db" > "$here/Packages.db.gz"
gzip -9nc "$work/bdb-1234/Packages" > "$here/Packages-little.gz"
gzip -9nc "$work/bdb-4321/Packages" > "$here/Packages-big.gz"
