package main

import (
	"bytes"
	"fmt"

	"github.com/containers/storage"
	"github.com/opencontainers/go-digest"
)

// layerStore is podman's storage with its overlay driver.
type layerStore struct {
	store storage.Store
	bases map[digest.Digest]string // the layers of honest bases, which are kept
}

func openStore(folder string) storage.Store {
	store, err := storage.GetStore(storage.StoreOptions{
		RunRoot:         folder + "/run",
		GraphRoot:       folder + "/root",
		GraphDriverName: "overlay",
	})
	if err != nil {
		panic(fmt.Errorf("containers/storage: %w", err))
	}
	return store
}

func newLayerStore() *layerStore {
	return &layerStore{openStore(home + "/store"), map[digest.Digest]string{}}
}

func (s *layerStore) putLayers(blobs [][]byte) tree {
	const name = "podman-store"
	var made []string
	defer func() {
		for at := len(made) - 1; at >= 0; at-- {
			if err := s.store.DeleteLayer(made[at]); err != nil {
				panic(fmt.Errorf("containers/storage: %w", err))
			}
		}
	}()
	top := s.bases[digest.FromBytes(blobs[0])]
	for at, blob := range blobs {
		if at == 0 && top != "" {
			continue
		}
		layer, _, err := s.store.PutLayer("", top, nil, "", false, nil, bytes.NewReader(blob))
		if err != nil {
			return tree{runtime: name, failure: fmt.Sprintf("layer %d: %v", at, err)}
		}
		top = layer.ID
		if at == 0 {
			s.bases[digest.FromBytes(blob)] = top
		} else {
			made = append(made, top)
		}
	}
	folder, err := s.store.Mount(top, "")
	if err != nil {
		return tree{runtime: name, failure: "mount: " + err.Error()}
	}
	found := listed(name, folder)
	if _, err := s.store.Unmount(top, true); err != nil {
		panic(fmt.Errorf("containers/storage: %w", err))
	}
	return found
}
