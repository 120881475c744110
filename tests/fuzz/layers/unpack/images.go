package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/content"
	"github.com/containerd/containerd/diff/apply"
	containerd "github.com/containerd/containerd/images"
	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/platforms"
	"github.com/containerd/containerd/rootfs"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/overlay"
	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/directory"
	"github.com/containers/image/v5/signature"
	containers "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"
	"github.com/containers/storage"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageStores hold whole images: of each case one, and those that are kept.
type imageStores struct {
	store     storage.Store
	policy    *signature.PolicyContext
	snapshots snapshots.Snapshotter
	kept      map[digest.Digest]bool // chain ids of the images that stay
	count     int
}

func newImageStores() *imageStores {
	policy := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	accepting, err := signature.NewPolicyContext(policy)
	if err != nil {
		panic(err)
	}
	snapshotter, err := overlay.NewSnapshotter(home + "/snapshots")
	if err != nil {
		panic(err)
	}
	return &imageStores{
		store: openStore(home + "/images"), policy: accepting, snapshots: snapshotter,
		kept: map[digest.Digest]bool{},
	}
}

// pull is given the manifest and every blob below it.
func (s *imageStores) pull(blobs [][]byte, keep bool) []tree {
	s.count++
	return []tree{s.podman(blobs, keep), s.containerd(blobs, keep)}
}

func (s *imageStores) podman(blobs [][]byte, keep bool) tree {
	const name = "podman-image"
	folder := fmt.Sprintf("%s/dir-%d", home, s.count)
	defer os.RemoveAll(folder)
	if err := writeFolder(folder, blobs); err != nil {
		panic(err)
	}
	from, err := directory.NewReference(folder)
	if err != nil {
		return tree{runtime: name, failure: err.Error()}
	}
	image := fmt.Sprintf("localhost/case:%d", s.count)
	to, err := containers.Transport.ParseStoreReference(s.store, image)
	if err != nil {
		return tree{runtime: name, failure: err.Error()}
	}
	system := &types.SystemContext{BigFilesTemporaryDir: "/tmp", BlobInfoCacheDir: home}
	if _, err := copy.Image(context.Background(), s.policy, to, from, &copy.Options{SourceCtx: system, DestinationCtx: system}); err != nil {
		return tree{runtime: name, failure: err.Error()}
	}
	pulled, err := s.store.Image(image)
	if err != nil {
		return tree{runtime: name, failure: err.Error()}
	}
	if !keep {
		defer func() {
			if len(pulled.Names) > 1 {
				_ = s.store.RemoveNames(pulled.ID, []string{image})
			} else if _, err := s.store.DeleteImage(pulled.ID, true); err != nil {
				panic(fmt.Errorf("containers/storage: %w", err))
			}
		}()
	}
	merged, err := s.store.MountImage(pulled.ID, nil, "")
	if err != nil {
		return tree{runtime: name, failure: "mount: " + err.Error()}
	}
	defer func() {
		if _, err := s.store.UnmountImage(pulled.ID, true); err != nil {
			panic(fmt.Errorf("containers/storage: %w", err))
		}
	}()
	return listed(name, merged)
}

// writeFolder writes the form that the dir: transport reads: each blob under its digest, and the manifest's name.
func writeFolder(folder string, blobs [][]byte) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(folder, "version"), []byte("Directory Transport Version: 1.1\n"), 0o644)
	err = errors.Join(err, os.WriteFile(filepath.Join(folder, "manifest.json"), blobs[0], 0o644))
	for _, blob := range blobs[1:] {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, digest.FromBytes(blob).Encoded()), blob, 0o644))
	}
	return err
}

func (s *imageStores) containerd(blobs [][]byte, keep bool) tree {
	const name = "containerd-image"
	ctx := context.Background()
	provider := provider{}
	for _, blob := range blobs {
		provider[digest.FromBytes(blob)] = blob
	}
	target := ocispec.Descriptor{
		MediaType: mediaType(blobs[0]), Digest: digest.FromBytes(blobs[0]), Size: int64(len(blobs[0])),
	}
	layers, err := layersOf(ctx, provider, target)
	if err != nil {
		return tree{runtime: name, failure: err.Error()}
	}
	var chain []digest.Digest
	for _, layer := range layers {
		chain = append(chain, layer.Diff.Digest)
	}
	chain = identity.ChainIDs(chain)
	defer func() {
		for at := len(chain) - 1; at >= 0; at-- {
			if keep {
				s.kept[chain[at]] = true
			} else if !s.kept[chain[at]] {
				_ = s.snapshots.Remove(ctx, chain[at].String()) // absent where unpacking failed
			}
		}
	}()
	top, err := rootfs.ApplyLayers(ctx, layers, s.snapshots, apply.NewFileSystemApplier(provider))
	if err != nil {
		return tree{runtime: name, failure: err.Error()}
	}
	key := fmt.Sprintf("view-%d", s.count)
	mounts, err := s.snapshots.View(ctx, key, top.String())
	if err != nil {
		return tree{runtime: name, failure: "view: " + err.Error()}
	}
	defer func() {
		if err := s.snapshots.Remove(ctx, key); err != nil {
			panic(fmt.Errorf("containerd: %w", err))
		}
	}()
	var found tree
	if err := mount.WithTempMount(ctx, mounts, func(root string) error {
		found = listed(name, root)
		return nil
	}); err != nil {
		return tree{runtime: name, failure: "mount: " + err.Error()}
	}
	return found
}

// layersOf does what containerd's client does before it unpacks (image.go: getLayers; pkg/unpack has the same checks).
func layersOf(ctx context.Context, provider content.Provider, target ocispec.Descriptor) ([]rootfs.Layer, error) {
	image := containerd.Image{Target: target}
	manifest, err := containerd.Manifest(ctx, provider, target, platforms.Default())
	if err != nil {
		return nil, err
	}
	diffs, err := image.RootFS(ctx, provider, platforms.Default())
	if err != nil {
		return nil, err
	}
	var layers []rootfs.Layer
	for _, blob := range manifest.Layers {
		if containerd.IsLayerType(blob.MediaType) {
			layers = append(layers, rootfs.Layer{Blob: blob})
		}
	}
	if len(layers) != len(diffs) {
		return nil, errors.New("mismatched image rootfs and manifest layers")
	}
	if len(layers) == 0 {
		return nil, errors.New("no layers")
	}
	for at := range layers {
		layers[at].Diff = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffs[at]}
	}
	return layers, nil
}

func mediaType(manifest []byte) string {
	var document struct{ MediaType string }
	if json.Unmarshal(manifest, &document) == nil && document.MediaType != "" {
		return document.MediaType
	}
	return ocispec.MediaTypeImageManifest
}

// provider is a content store in memory. As in a pull, a descriptor whose size is wrong has no content.
type provider map[digest.Digest][]byte

func (p provider) ReaderAt(_ context.Context, descriptor ocispec.Descriptor) (content.ReaderAt, error) {
	blob, ok := p[descriptor.Digest]
	if !ok || (descriptor.Size != 0 && descriptor.Size != int64(len(blob))) {
		return nil, fmt.Errorf("no blob %s of %d bytes", descriptor.Digest, descriptor.Size)
	}
	return readerAt{bytes.NewReader(blob)}, nil
}

type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }
