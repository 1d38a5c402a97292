package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// descriptor names a blob, as OCI's image format does.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// layer is a blob too; it is not compressed, so that its digest is also that of its content.
type layer = descriptor

// config is the part of an image's configuration that says what runs.
type config struct {
	Env        []string `json:"Env"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
	User       string   `json:"User,omitempty"`
	WorkingDir string   `json:"WorkingDir"`
}

// layer makes a layer from what fill puts into an empty folder. All files belong to root.
func (b *builder) layer(name string, fill func(root string) error) (layer, error) {
	root := filepath.Join(b.work, name)
	if err := os.Mkdir(root, 0o755); err != nil {
		return layer{}, err
	}
	defer os.RemoveAll(root)
	if err := fill(root); err != nil {
		return layer{}, fmt.Errorf("layer %s: %w", name, err)
	}
	return b.blob(layerType, func(to io.Writer) error { return archive(root, to) })
}

// archive writes a folder as a tar file in a fixed order and without times, so that equal folders are equal layers.
func archive(root string, to io.Writer) error {
	out := tar.NewWriter(to)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var target string
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		if header.Name, err = filepath.Rel(root, path); err != nil {
			return err
		}
		header.ModTime, header.AccessTime, header.ChangeTime = time.Unix(0, 0), time.Time{}, time.Time{}
		header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
		if err := out.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(out, file)
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// blob stores what write writes under its digest.
func (b *builder) blob(mediaType string, write func(io.Writer) error) (descriptor, error) {
	file, err := os.CreateTemp(b.work, "blob")
	if err != nil {
		return descriptor{}, err
	}
	defer file.Close()
	sum := sha256.New()
	if err := write(io.MultiWriter(file, sum)); err != nil {
		return descriptor{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return descriptor{}, err
	}
	digest := fmt.Sprintf("%x", sum.Sum(nil))
	if err := os.Rename(file.Name(), filepath.Join(b.folder, "blobs", digest)); err != nil {
		return descriptor{}, err
	}
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: info.Size()}, nil
}

// image adds an image of layers to the index.
func (b *builder) image(name string, runs config, layers []layer) error {
	runs.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	runs.WorkingDir = "/"
	digests := make([]string, len(layers))
	for i, layer := range layers {
		digests[i] = layer.Digest
	}
	configuration, err := b.json(configType, map[string]any{
		"architecture": architecture,
		"os":           "linux",
		"config":       runs,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": digests},
	})
	if err != nil {
		return err
	}
	b.index[name], err = b.json(manifestType, map[string]any{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        configuration,
		"layers":        layers,
	})
	return err
}

func (b *builder) json(mediaType string, value any) (descriptor, error) {
	return b.blob(mediaType, func(to io.Writer) error { return json.NewEncoder(to).Encode(value) })
}
