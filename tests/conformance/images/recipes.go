// Package images makes the container images of the conformance tests under their original names and serves them.
//
// Programs come from the Go modules that upstream builds its images from, everything else from Debian's packages.
// Nothing is downloaded from an image registry and nothing is installed on the machine.
//
// Names, tags and contents follow upstream's test/utils/image/manifest.go and test/images of the release in go.mod.
package images

import (
	"os"
	"path/filepath"
)

// Registry is where the tests look for the images.
const Registry = "registry.k8s.io"

// Programs that are built from Go modules, by file name.
var programs = map[string]string{
	"agnhost":          "k8s.io/kubernetes/test/images/agnhost",
	"nnp":              "k8s.io/kubernetes/test/images/nonewprivs",
	"sample-apiserver": "k8s.io/sample-apiserver",
	"pause":            "./pause",
	"shell":            "./shell",
}

// Packages of the roots; the libraries that they depend on are added.
var (
	small  = []string{"busybox", "bash", "base-files", "libc-bin"}
	shell  = append([]string{"bind9-dnsutils", "bind9-host", "curl", "iperf", "iproute2", "netcat-openbsd", "socat", "util-linux"}, small...)
	server = append([]string{"nginx", "nginx-common"}, small...)
	etcd   = append([]string{"etcd-server"}, small...)
)

// recipes makes all images: layers first, then the images that consist of them.
func recipes(b *builder) error {
	plain, err := b.root("plain", small, nil)
	if err != nil {
		return err
	}
	tools, err := b.root("tools", shell, toolsFiles)
	if err != nil {
		return err
	}
	nginx, err := b.root("nginx", server, nginxFiles)
	if err != nil {
		return err
	}
	store, err := b.root("etcd", etcd, func(root string) error {
		return os.Symlink("../../bin/etcd", filepath.Join(root, "usr/local/bin/etcd"))
	})
	if err != nil {
		return err
	}
	agnhost, err := b.layer("agnhost", b.agnhost)
	if err != nil {
		return err
	}
	kitten, err := b.layer("kitten", b.website("kitten"))
	if err != nil {
		return err
	}
	nautilus, err := b.layer("nautilus", b.website("nautilus"))
	if err != nil {
		return err
	}
	privileges, err := b.layer("nonewprivs", b.program("nnp", "usr/local/bin/nnp", 0o755|os.ModeSetuid|os.ModeSetgid))
	if err != nil {
		return err
	}
	apiserver, err := b.layer("sample-apiserver", b.program("sample-apiserver", "sample-apiserver", 0o755))
	if err != nil {
		return err
	}
	pause, err := b.layer("pause", b.program("pause", "pause", 0o755))
	if err != nil {
		return err
	}

	choice, err := b.layer("shell", b.program("shell", "usr/bin/sh", 0o755))
	if err != nil {
		return err
	}

	run := config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}}
	serve := config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"test-webserver"}}
	for _, image := range []struct {
		name   string
		config config
		layers []layer
	}{
		{"e2e-test-images/agnhost:2.66.1", run, []layer{tools, agnhost}},
		{"e2e-test-images/agnhost:2.55", run, []layer{tools, agnhost}},
		{"e2e-test-images/busybox:1.37.0-2", config{Cmd: []string{"sh"}}, []layer{plain, choice}},
		{"e2e-test-images/glibc-dns-testing:2.1.1", config{Cmd: []string{"bash"}}, []layer{tools}},
		{"e2e-test-images/kitten:1.8", serve, []layer{tools, agnhost, kitten}},
		{"e2e-test-images/nautilus:1.8", serve, []layer{tools, agnhost, nautilus}},
		{"e2e-test-images/nginx:1.27.0-2", config{Cmd: []string{"nginx", "-g", "daemon off;"}}, []layer{nginx}},
		{"e2e-test-images/nginx:1.28.0-2", config{Cmd: []string{"nginx", "-g", "daemon off;"}}, []layer{nginx}},
		{"e2e-test-images/nonewprivs:1.4", config{Cmd: []string{"nnp"}}, []layer{plain, privileges}},
		{"e2e-test-images/sample-apiserver:1.29.2", config{Entrypoint: []string{"/sample-apiserver"}}, []layer{plain, apiserver}},
		{"etcd:3.7.0-0", config{}, []layer{store}},
		{"pause:3.10.2", config{Entrypoint: []string{"/pause"}, User: "65535:65535"}, []layer{pause}},
	} {
		if err := b.image(image.name, image.config, image.layers); err != nil {
			return err
		}
	}
	return nil
}

// toolsFiles does what Debian does when netcat is installed, and adds the user whose groups a test of supplemental
// groups expects to come from the image.
func toolsFiles(root string) error {
	netcat := filepath.Join(root, "usr/bin/nc")
	if err := os.Remove(netcat); err != nil {
		return err
	}
	if err := os.Symlink("nc.openbsd", netcat); err != nil {
		return err
	}
	if err := appendTo(filepath.Join(root, "etc/passwd"), "user-defined-in-image:x:1000:1000::/home/user:/bin/sh\n"); err != nil {
		return err
	}
	return appendTo(filepath.Join(root, "etc/group"),
		"user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n")
}

func nginxFiles(root string) error {
	if err := appendTo(filepath.Join(root, "etc/passwd"), "www-data:x:33:33::/var/www:/bin/false\n"); err != nil {
		return err
	}
	if err := appendTo(filepath.Join(root, "etc/group"), "www-data:x:33:\n"); err != nil {
		return err
	}
	for _, folder := range []string{"var/log/nginx", "var/lib/nginx"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(root, "etc/nginx/nginx.conf"), []byte(`user www-data;
worker_processes 1;
error_log /dev/stderr;
events {}
http {
    access_log /dev/stdout;
    server { listen 80; root /usr/share/nginx/html; }
}
`), 0o644)
}

// agnhost is the program, the name that tests of entry points use, and the files that its servers want.
func (b *builder) agnhost(root string) error {
	if err := b.program("agnhost", "agnhost", 0o755)(root); err != nil {
		return err
	}
	if err := os.Symlink("agnhost", filepath.Join(root, "agnhost-2")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(root, "uploads"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"localhost.crt", "localhost.key"} {
		if err := copyFile(filepath.Join(b.upstream, "test/images/agnhost/porter", name), filepath.Join(root, name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// website is what agnhost serves as the site of that name. Upstream's base is Alpine, and a test of image volumes looks
// for that name in this file.
func (b *builder) website(name string) func(string) error {
	return func(root string) error {
		if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
			return err
		}
		release := []byte("NAME=\"Alpine Linux\"\nID=alpine\n")
		if err := os.WriteFile(filepath.Join(root, "etc/os-release"), release, 0o644); err != nil {
			return err
		}
		for _, file := range []string{name + ".jpg", "data.json"} {
			if err := copyFile(filepath.Join(b.upstream, "test/images", name, "html", file), filepath.Join(root, file), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

func (b *builder) program(name, at string, mode os.FileMode) func(string) error {
	return func(root string) error {
		to := filepath.Join(root, at)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return copyFile(filepath.Join(b.programs, name), to, mode)
	}
}
