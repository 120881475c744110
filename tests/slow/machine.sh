#!/bin/sh
# machine.sh ROOT COMMAND...: runs a command in a root folder as on a machine of its own, as far as that goes without
# booting one: own mounts and processes, the kernel and the network of this machine. All that it started ends with it.
set -eu
root=$1
shift
export root
exec unshare --mount --pid --fork --kill-child sh -euc '
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    cd "$root"
    pivot_root . .  # in a chroot, the box of a build could make no namespace of users
    umount -l .
    exec env -i HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        ${PIP_CERT:+PIP_CERT=/etc/ssl/certs/ca-certificates.crt} "$@"
' sh "$@"
