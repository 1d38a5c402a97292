package images

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Handler serves the images of a folder that Make has filled, read only, as a registry does.
//
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pull
func Handler(folder string) (http.Handler, error) {
	text, err := os.ReadFile(filepath.Join(folder, indexFile))
	if err != nil {
		return nil, err
	}
	index := map[string]descriptor{}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, err
	}
	byDigest := map[string]descriptor{}
	for _, manifest := range index {
		byDigest[manifest.Digest] = manifest
	}
	serve := func(w http.ResponseWriter, r *http.Request, blob descriptor) {
		w.Header().Set("Content-Type", blob.MediaType)
		w.Header().Set("Docker-Content-Digest", blob.Digest)
		http.ServeFile(w, r, filepath.Join(folder, "blobs", filepath.Base(strings.TrimPrefix(blob.Digest, "sha256:"))))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, isVersion2 := strings.CutPrefix(r.URL.Path, "/v2/")
		if repository, reference, ok := strings.Cut(path, "/manifests/"); ok {
			manifest, ok := index[repository+":"+reference]
			if !ok {
				manifest, ok = byDigest[reference]
			}
			if ok {
				serve(w, r, manifest)
				return
			}
		} else if _, digest, ok := strings.Cut(path, "/blobs/"); ok {
			serve(w, r, descriptor{MediaType: "application/octet-stream", Digest: digest})
			return
		} else if isVersion2 && path == "" {
			return
		}
		http.NotFound(w, r)
	}), nil
}
