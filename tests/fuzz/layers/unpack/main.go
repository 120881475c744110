// Unpack layers with the code of podman (containers/storage) and of containerd, and print the files that result.
//
// Standard input holds requests, standard output answers; wire.go describes both. The process makes itself a mount
// namespace of its own with a tmpfs as its root, so that nothing a hostile layer does reaches the host's files.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/containerd/log"
	"github.com/containers/storage/pkg/reexec"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// home is the root of everything that is unpacked, once the process lives in its own tmpfs.
const home = "/unpack"

func main() {
	logrus.SetLevel(logrus.PanicLevel)
	logrus.SetOutput(io.Discard)
	_ = log.SetLevel("panic")
	if reexec.Init() { // the unpacking child of containers/storage
		return
	}
	if err := enterTmpfs(); err != nil {
		fmt.Fprintln(os.Stderr, "error: no mount namespace with a tmpfs:", err)
		os.Exit(2)
	}
	debug.SetGCPercent(1000) // garbage is most of the work, and there is little of it at a time
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<20)
	unpackers := newUnpackers()
	for {
		request, err := readRequest(in)
		if err == io.EOF {
			return
		}
		if err == nil {
			err = writeAnswer(out, unpackers.answer(request))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(2)
		}
	}
}

// enterTmpfs expects to run in a mount namespace of its own (unshare --mount) and moves the process into a new tmpfs.
func enterTmpfs() error {
	const root = "/dev/shm/unpack" // a mount point, in this namespace alone
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=2g,mode=755"); err != nil {
		return err
	}
	for _, folder := range []string{"proc", "dev", "tmp", "etc", "var/tmp", "run", home} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("/proc", filepath.Join(root, "proc"), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mknod(filepath.Join(root, "dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return err
	}
	policy := filepath.Join(root, "etc/containers/policy.json")
	_ = os.MkdirAll(filepath.Dir(policy), 0o755)
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644); err != nil {
		return err
	}
	if err := unix.Chroot(root); err != nil {
		return err
	}
	unix.Umask(0)
	os.Setenv("CONTAINERD_DISABLE_PIGZ", "1")
	os.Setenv("CONTAINERD_DISABLE_IGZIP", "1")
	os.Setenv("TMPDIR", "/tmp")
	os.Setenv("HOME", "/")
	return os.Chdir("/")
}
