package images

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// made makes one image of one layer in a new folder.
func made(t *testing.T) (folder string, image descriptor) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range []string{"blobs", "work"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := &builder{folder: folder, work: filepath.Join(folder, "work"), index: map[string]descriptor{}}
	layer, err := b.layer("files", func(root string) error {
		if err := os.WriteFile(filepath.Join(root, "program"), []byte("x"), 0o755); err != nil {
			return err
		}
		if err := os.Chmod(filepath.Join(root, "program"), 0o755|os.ModeSetuid); err != nil {
			return err
		}
		return os.Symlink("program", filepath.Join(root, "link"))
	})
	if err == nil {
		err = b.image("a/b:1", config{Cmd: []string{"/program"}}, []descriptor{layer})
	}
	if err == nil {
		err = b.writeIndex()
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder, b.index["a/b:1"]
}

func TestEqualFilesAreEqualImages(t *testing.T) {
	_, one := made(t)
	_, other := made(t)
	if one != other {
		t.Errorf("%v and %v", one, other)
	}
}

func TestImagesAreServedByTagAndByDigest(t *testing.T) {
	folder, image := made(t)
	handler, err := Handler(folder)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	get := func(path string) (*http.Response, []byte) {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, body
	}
	for _, reference := range []string{"1", image.Digest} {
		response, body := get("/v2/a/b/manifests/" + reference + "?ns=example.org")
		var manifest struct{ Config descriptor }
		if err := json.Unmarshal(body, &manifest); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if response.Header.Get("Content-Type") != manifestType || response.Header.Get("Docker-Content-Digest") != image.Digest {
			t.Errorf("%s: %v", reference, response.Header)
		}
		if response, body := get("/v2/a/b/blobs/" + manifest.Config.Digest); int64(len(body)) != manifest.Config.Size {
			t.Errorf("%s: %s", response.Status, body)
		}
	}
	for _, missing := range []string{"/v2/a/b/manifests/2", "/v2/other/manifests/1", "/v2/a/b/blobs/sha256:0", "/v2/a/b/blobs/../images.json", "/x"} {
		if response, _ := get(missing); response.StatusCode < http.StatusBadRequest {
			t.Errorf("%s: %s", missing, response.Status)
		}
	}
	if response, _ := get("/v2/"); response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
}
