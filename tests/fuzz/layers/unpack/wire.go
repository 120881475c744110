package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// A request is: mode (one byte), count of blobs (4 bytes, little-endian), and each blob with its length before it.
type request struct {
	mode  byte
	blobs [][]byte
}

// A tree is what one runtime ends up with. `failure` is why it refused; then it has no files.
type tree struct {
	runtime string
	failure string
	files   []file
}

// A file is one path that is not a folder. kind: f (data is the content), F (data is the SHA-256 of larger content),
// l (data is the link's target), c, b, p or s. An answer holds for each tree: runtime, failure, count, then the files'
// path, kind and data; every text has its length before it, in 4 bytes.
type file struct {
	path string
	kind byte
	data []byte
}

const largest = 1 << 28

func readRequest(in *bufio.Reader) (request, error) {
	mode, err := in.ReadByte()
	if err != nil {
		return request{}, err
	}
	count, err := readNumber(in)
	if err != nil || count > 1000 {
		return request{}, errors.Join(err, errors.New("a broken request"))
	}
	asked := request{mode: mode}
	for range count {
		size, err := readNumber(in)
		if err != nil || size > largest {
			return request{}, errors.Join(err, errors.New("a broken request"))
		}
		blob := make([]byte, size)
		if _, err := io.ReadFull(in, blob); err != nil {
			return request{}, err
		}
		asked.blobs = append(asked.blobs, blob)
	}
	return asked, nil
}

func readNumber(in *bufio.Reader) (uint32, error) {
	var bytes [4]byte
	_, err := io.ReadFull(in, bytes[:])
	return binary.LittleEndian.Uint32(bytes[:]), err
}

func writeAnswer(out *bufio.Writer, trees []tree) error {
	body := number(nil, len(trees))
	for _, one := range trees {
		body = text(text(body, []byte(one.runtime)), []byte(one.failure))
		body = number(body, len(one.files))
		for _, file := range one.files {
			body = append(text(body, []byte(file.path)), file.kind)
			body = text(body, file.data)
		}
	}
	if _, err := out.Write(text(nil, body)); err != nil {
		return err
	}
	return out.Flush()
}

func number(to []byte, value int) []byte { return binary.LittleEndian.AppendUint32(to, uint32(value)) }

func text(to, value []byte) []byte { return append(number(to, len(value)), value...) }
