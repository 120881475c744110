"""Whose a package or a file is: the distribution's, its maintainer's or that of a package that brought it."""

from tests.scanner.layers import (
    DEBIAN,
    make_dpkg_list,
    make_file,
    make_stanza,
    make_status,
    read_inventory,
)

from dockgate.scanner.ports import Entry


def test_language_packages_of_a_vendor_package_are_judged_by_themselves() -> None:
    text = "Maintainer: NodeSource <packages@nodesource.com>\n"
    npm = "usr/lib/node_modules/npm/package.json"
    node = [
        make_status(make_stanza("nodejs", "22.1-1nodesource1", fields=text)),
        make_dpkg_list("nodejs", "usr/bin/node", npm),
    ]
    result = read_inventory(
        [make_file("etc/os-release", DEBIAN), *node, make_file(npm, '{"name": "npm", "version": "10.7.0"}')]
    )
    assert [(package.name, package.ecosystem, package.vendor, package.owner) for package in result.packages] == [
        ("nodejs", "vendor:nodesource.com", "nodesource.com", None),
        ("npm", "npm", None, None),
    ]
    assert result.unread == ()
    nowhere = read_inventory(node)
    assert [(package.ecosystem, package.vendor) for package in nowhere.packages if package.name == "nodejs"] == [
        ("", None)
    ]


NPM = "usr/lib/node_modules/npm/package.json"


# Of a company's own package, without its copyright, as nfpm and dpkg-deb make it.
OWN = [
    make_dpkg_list("acme", "usr/bin/acme", NPM),
    make_file(NPM, '{"name": "npm", "version": "10.7.0"}'),
]


ACME = make_stanza("acme", "1.2", fields="Maintainer: Acme <dev@acme.example>\n")


def make_base(*names: str) -> list[Entry]:
    lists = [make_dpkg_list(f"{name}:amd64", f"usr/share/doc/{name}/copyright", f"usr/bin/{name}") for name in names]
    return [make_file("etc/os-release", DEBIAN), make_status(*(make_stanza(name, "1") for name in names)), *lists]


def list_owners(*layers: list[Entry]) -> list[tuple[str, str, str]]:
    return [(package.name, package.ecosystem, package.owner or "") for package in read_inventory(*layers).packages]


def test_a_package_without_a_copyright_file_belongs_to_its_maintainer_and_owns_nothing() -> None:
    bash = make_stanza("bash", "1")
    assert list_owners(make_base("bash"), [make_status(bash, ACME), *OWN]) == [
        ("acme", "vendor:acme.example", ""),
        ("bash", "Debian:13", ""),
        ("npm", "npm", ""),
    ]
    assert (
        list_owners(make_base("bash"), [make_status(bash, make_stanza("acme", "1.2")), *OWN])[0][1] == "vendor:unknown"
    )
    own_stanza = make_stanza("acme", "1.2", fields="Origin: Debian\nMaintainer: Acme <dev@acme.example>\n")
    assert list_owners(make_base("bash"), [make_status(bash, own_stanza), *OWN])[0][1] == "Debian:13"
    ubuntu = [make_file("etc/os-release", 'ID=ubuntu\nVERSION_ID="24.04"\n'), *make_base("bash")[1:]]
    remaining = make_stanza("acme", "1.2", fields="Maintainer: A <a@canonical.com>\n")
    assert list_owners(ubuntu, [make_status(bash, remaining), *OWN])[0][1] == "Ubuntu:24.04:LTS"


def test_the_current_file_list_determines_the_owner_of_a_copyright_file() -> None:
    later = make_dpkg_list("acme", "usr/share/doc/acme/copyright", "usr/bin/acme", NPM)
    layers = [
        make_base("bash"),
        [make_status(make_stanza("bash", "1"), ACME), *OWN],
        [make_status(make_stanza("bash", "1"), ACME), later],
    ]
    assert list_owners(*layers)[0][1] == "Debian:13"


def test_file_lists_that_were_cut_in_the_base_prove_no_owner() -> None:
    cut = [
        make_file("etc/os-release", DEBIAN),
        make_status(make_stanza("bash", "1")),
        make_dpkg_list("bash", "usr/bin/bash"),
    ]
    assert list_owners(cut, [make_status(make_stanza("bash", "1"), ACME), *OWN]) == [
        ("acme", "Debian:13", ""),
        ("bash", "Debian:13", ""),
        ("npm", "npm", "acme"),
    ]


def test_a_file_list_that_was_cut_in_a_later_layer_proves_no_owner() -> None:
    cut = make_dpkg_list("bash:amd64", "usr/bin/bash")
    assert list_owners(make_base("bash", "dash"), [cut]) == [("bash", "Debian:13", ""), ("dash", "Debian:13", "")]
    rebuilt = make_status(
        make_stanza("bash", "2", fields="Maintainer: Acme <dev@acme.example>\n"), make_stanza("dash", "1")
    )
    assert list_owners(make_base("bash", "dash"), [rebuilt, cut])[0][1] == "vendor:acme.example"
