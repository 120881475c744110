package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	containerd "github.com/containerd/containerd/archive"
	"github.com/containerd/containerd/archive/compression"
	"github.com/containers/storage/pkg/archive"
	"github.com/containers/storage/pkg/chrootarchive"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// The modes of a request. The first blob of every request but whole images is the honest base, which lies below.
const (
	overlayMode = 'o' // each layer in a folder of its own, put together by overlayfs: the usual storage of both
	inPlaceMode = 'i' // each layer onto the whole tree: podman's vfs, containerd's native snapshotter
	storeMode   = 's' // podman: containers/storage's store, by PutLayer
	imageMode   = 'w' // whole images: manifest, config, then all other blobs
	keptMode    = 'k' // the same, and the image stays: a layer that a runtime has already is reused
)

type unpackers struct {
	count int
	jobs  chan chrootJob
	store *layerStore
	image *imageStores
}

type chrootJob struct {
	folder string
	work   func() error
	done   chan error
}

func newUnpackers() *unpackers {
	made := &unpackers{jobs: make(chan chrootJob)}
	go made.runChrooted()
	return made
}

// runChrooted does each job in a thread whose root is the job's folder, as containers/storage does in a child process.
func (u *unpackers) runChrooted() {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		panic(err)
	}
	outside, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	for job := range u.jobs {
		err := errors.Join(unix.Chroot(job.folder), unix.Chdir("/"))
		if err == nil {
			err = job.work()
		}
		if back := errors.Join(unix.Fchdir(outside), unix.Chroot(".")); back != nil {
			panic(back)
		}
		job.done <- err
	}
}

func (u *unpackers) chrooted(folder string, work func() error) error {
	done := make(chan error)
	u.jobs <- chrootJob{folder, work, done}
	return <-done
}

func (u *unpackers) answer(asked request) []tree {
	u.count++
	folder := filepath.Join(home, strconv.Itoa(u.count))
	defer os.RemoveAll(folder)
	switch asked.mode {
	case overlayMode:
		return []tree{
			u.inLayers("podman", folder+"/p", asked.blobs, u.unpackStorage),
			u.inLayers("containerd", folder+"/c", asked.blobs, unpackContainerd),
		}
	case inPlaceMode:
		return []tree{
			inPlace("podman-vfs", folder+"/p", asked.blobs, applyStorage),
			inPlace("containerd-native", folder+"/c", asked.blobs, applyContainerd),
		}
	case storeMode:
		if u.store == nil {
			u.store = newLayerStore()
		}
		return []tree{u.store.putLayers(asked.blobs)}
	case imageMode, keptMode:
		if u.image == nil {
			u.image = newImageStores()
		}
		return u.image.pull(asked.blobs, asked.mode == keptMode)
	}
	panic("unknown mode")
}

// unpackStorage is what podman's overlay driver does (drivers/overlay: ApplyDiff).
func (u *unpackers) unpackStorage(folder string, _ []string, blob []byte) error {
	stream, err := archive.DecompressStream(bytes.NewReader(blob))
	if err != nil {
		return err
	}
	defer stream.Close()
	return u.chrooted(folder, func() error {
		err := archive.Unpack(stream, "/", &archive.TarOptions{WhiteoutFormat: archive.OverlayWhiteoutFormat})
		if err == nil {
			_, err = io.Copy(io.Discard, struct{ io.Reader }{stream}) // pgzip's WriteTo fails after a Read
		}
		return err
	})
}

// unpackContainerd is what its applier does with an overlay mount (diff/apply: apply).
func unpackContainerd(folder string, below []string, blob []byte) error {
	options := []containerd.ApplyOpt{containerd.WithConvertWhiteout(containerd.OverlayConvertWhiteout)}
	if len(below) > 0 {
		options = append(options, containerd.WithParents(below))
	}
	return applyDecompressed(folder, blob, options...)
}

func applyContainerd(folder string, blob []byte) error { return applyDecompressed(folder, blob) }

func applyDecompressed(folder string, blob []byte, options ...containerd.ApplyOpt) error {
	stream, err := compression.DecompressStream(bytes.NewReader(blob))
	if err != nil {
		return err
	}
	defer stream.Close()
	if _, err := containerd.Apply(context.Background(), folder, stream, options...); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stream)
	return err
}

// applyStorage is what podman's vfs driver does, in the child process that the library starts.
func applyStorage(folder string, blob []byte) error {
	_, err := chrootarchive.ApplyLayer(folder, bytes.NewReader(blob))
	return err
}

func (u *unpackers) inLayers(name, folder string, blobs [][]byte, unpack func(string, []string, []byte) error) tree {
	var below []string
	for at, blob := range blobs {
		if at == 0 { // the base is unpacked once
			base := filepath.Join(home, "base-"+name+"-"+digest.FromBytes(blob).Encoded())
			if _, err := os.Lstat(base); err != nil {
				if err := errors.Join(os.Mkdir(base, 0o755), unpack(base, nil, blob)); err != nil {
					panic(err)
				}
			}
			below = []string{base}
			continue
		}
		layer := fmt.Sprintf("%s/%d", folder, at)
		if err := os.MkdirAll(layer, 0o755); err != nil {
			return tree{runtime: name, failure: err.Error()}
		}
		if err := unpack(layer, below, blob); err != nil {
			return tree{runtime: name, failure: fmt.Sprintf("layer %d: %v", at, err)}
		}
		below = append([]string{layer}, below...)
	}
	return merged(name, folder, below)
}

// merged lists what a container of these layers, top first, would see.
func merged(name, folder string, layers []string) tree {
	empty, target := folder+"/empty", folder+"/merged"
	_, _ = os.MkdirAll(empty, 0o755), os.MkdirAll(target, 0o755)
	lower := "lowerdir=" + strings.Join(append(layers, empty), ":")
	if err := unix.Mount("overlay", target, "overlay", unix.MS_RDONLY, lower); err != nil {
		return tree{runtime: name, failure: "overlay: " + err.Error()}
	}
	defer unix.Unmount(target, unix.MNT_DETACH)
	return listed(name, target)
}

func listed(name, folder string) tree {
	files, err := walk(folder)
	if err != nil {
		return tree{runtime: name, failure: "walk: " + err.Error()}
	}
	return tree{runtime: name, files: files}
}

func inPlace(name, folder string, blobs [][]byte, apply func(string, []byte) error) tree {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return tree{runtime: name, failure: err.Error()}
	}
	for at, blob := range blobs {
		if err := apply(folder, blob); err != nil {
			return tree{runtime: name, failure: fmt.Sprintf("layer %d: %v", at, err)}
		}
	}
	return listed(name, folder)
}
