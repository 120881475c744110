// Writes a database of Trivy from lines of JSON on standard input: {"path": [BUCKET, …], "key": KEY, "value": VALUE}.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"

	bolt "go.etcd.io/bbolt"
)

type entry struct {
	Path  []string        `json:"path"`
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

func main() {
	database, err := bolt.Open(os.Args[1], 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	err = database.Update(func(tx *bolt.Tx) error {
		for lines.Scan() {
			var line entry
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				return err
			}
			bucket, err := tx.CreateBucketIfNotExists([]byte(line.Path[0]))
			for _, name := range line.Path[1:] {
				if err == nil {
					bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
				}
			}
			if err == nil {
				err = bucket.Put([]byte(line.Key), line.Value)
			}
			if err != nil {
				return err
			}
		}
		return lines.Err()
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := database.Close(); err != nil {
		log.Fatal(err)
	}
}
