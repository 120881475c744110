package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"syscall"
)

// contentLimit is the size in bytes up to which a file's content is part of the answer.
const contentLimit = 1 << 16

// walk lists every path below root that is not a folder. A device 0:0 is a whiteout and is left out.
func walk(root string) ([]file, error) {
	var files []file
	err := walkInto(root, "", &files)
	return files, err
}

func walkInto(root, folder string, files *[]file) error {
	entries, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := entry.Name()
		if folder != "" {
			path = folder + "/" + path
		}
		if entry.IsDir() {
			if err := walkInto(root, path, files); err != nil {
				return err
			}
			continue
		}
		// What cannot be looked at, such as a file whose overlayfs attributes contradict each other, nobody can use.
		found, err := look(root, path)
		if err == nil && found.kind != 0 {
			*files = append(*files, found)
		}
	}
	return nil
}

func look(root, path string) (file, error) {
	full := root + "/" + path
	info, err := os.Lstat(full)
	if err != nil {
		return file{}, err
	}
	switch mode := info.Mode(); mode.Type() {
	case os.ModeSymlink:
		target, err := os.Readlink(full)
		return file{path, 'l', []byte(target)}, err
	case 0:
		content, err := os.ReadFile(full)
		if len(content) > contentLimit {
			digest := sha256.Sum256(content)
			return file{path, 'F', digest[:]}, err
		}
		return file{path, 'f', content}, err
	case os.ModeDevice | os.ModeCharDevice:
		if info.Sys().(*syscall.Stat_t).Rdev == 0 {
			return file{}, nil
		}
		return file{path, 'c', nil}, nil
	case os.ModeDevice:
		return file{path, 'b', nil}, nil
	case os.ModeNamedPipe:
		return file{path, 'p', nil}, nil
	default:
		return file{path, 's', nil}, nil
	}
}
