package images

import (
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// What the images are made from, for the stamp.
//
//go:embed *.go
var sources embed.FS

const (
	indexFile = "images.json"
	stampFile = "stamp"
)

// builder makes images below one folder: blobs by their digest, and an index from names to manifests.
type builder struct {
	folder   string
	work     string
	packages string
	programs string
	upstream string
	index    map[string]descriptor
}

// Make makes the images in folder, unless they are there and nothing that they are made from has changed. module is the
// folder of the Go module with the programs.
func Make(folder, module string) error {
	stamp, err := stamp(module)
	if err != nil {
		return err
	}
	if had, err := os.ReadFile(filepath.Join(folder, stampFile)); err == nil && string(had) == stamp {
		return nil
	}
	b := &builder{
		folder:   folder,
		packages: filepath.Join(folder, "packages"),
		programs: filepath.Join(folder, "programs"),
		index:    map[string]descriptor{},
	}
	if err := os.RemoveAll(filepath.Join(folder, "blobs")); err != nil {
		return err
	}
	for _, folder := range []string{b.packages, b.programs, filepath.Join(folder, "blobs")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if b.work, err = os.MkdirTemp(folder, "work"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	if err := b.build(module); err != nil {
		return err
	}
	if err := recipes(b); err != nil {
		return err
	}
	if err := b.writeIndex(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, stampFile), []byte(stamp), 0o644)
}

func (b *builder) writeIndex() error {
	index, err := json.MarshalIndent(b.index, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.folder, indexFile), index, 0o644)
}

func stamp(module string) (string, error) {
	sum := sha256.New()
	entries, err := sources.ReadDir(".")
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		text, err := sources.ReadFile(entry.Name())
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	versions, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	sum.Write(versions)
	return fmt.Sprintf("%x\n", sum.Sum(nil)), nil
}

// build compiles the programs; they are static, so they run in any root.
func (b *builder) build(module string) error {
	to, err := filepath.Abs(b.programs)
	if err != nil {
		return err
	}
	for name, source := range programs {
		if err := run(module, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(to, name), source); err != nil {
			return err
		}
	}
	upstream := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	upstream.Dir = module
	folder, err := upstream.Output()
	if err != nil {
		return fmt.Errorf("%v: %w", upstream.Args, err)
	}
	b.upstream = strings.TrimSpace(string(folder))
	return nil
}

// root makes a layer that is a whole root: Debian packages with their libraries, and busybox for all other commands.
func (b *builder) root(name string, packages []string, finish func(root string) error) (layer, error) {
	return b.layer(name, func(root string) error {
		if err := skeleton(root); err != nil {
			return err
		}
		if err := b.unpack(root, packages); err != nil {
			return err
		}
		if err := applets(root); err != nil {
			return err
		}
		for _, unneeded := range []string{"doc", "man", "locale", "info", "lintian", "bash-completion", "bug"} {
			if err := os.RemoveAll(filepath.Join(root, "usr/share", unneeded)); err != nil {
				return err
			}
		}
		if finish == nil {
			return nil
		}
		return finish(root)
	})
}

// skeleton has what programs expect besides their own files. Debian's packages still have files in /bin and /lib, which
// are links.
func skeleton(root string) error {
	for _, folder := range []string{"usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "etc", "tmp", "root", "run", "var/tmp", "var/run",
		"home/user", "proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return err
		}
	}
	for _, folder := range []string{"tmp", "var/tmp"} {
		if err := os.Chmod(filepath.Join(root, folder), 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for file, text := range map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unpack downloads packages with the libraries that they depend on, unless they are there, and unpacks them.
func (b *builder) unpack(root string, packages []string) error {
	libraries, err := librariesOf(packages)
	if err != nil {
		return err
	}
	wanted := slices.Concat(packages, libraries)
	if err := b.download(wanted); err != nil {
		return err
	}
	for _, name := range wanted {
		files := b.files(name)
		if len(files) == 0 {
			return fmt.Errorf("package %s was not downloaded", name)
		}
		// dpkg-deb itself would replace the links of the skeleton by folders.
		unpack := fmt.Sprintf("dpkg-deb --fsys-tarfile %q | tar -x --keep-directory-symlink -C %q", files[0], root)
		if err := run("", "bash", "-o", "pipefail", "-c", unpack); err != nil {
			return err
		}
	}
	return nil
}

// files are those of a downloaded package; at most one.
func (b *builder) files(name string) []string {
	// The pattern is always well-formed.
	found, _ := filepath.Glob(filepath.Join(b.packages, name+"_*.deb"))
	return found
}

func (b *builder) download(names []string) error {
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return len(b.files(name)) > 0 })
	if len(missing) == 0 {
		return nil
	}
	get := append([]string{"download", "-qq"}, missing...)
	if run(b.packages, "apt-get", get...) == nil {
		return nil
	}
	// Old lists name versions that are gone.
	if err := run("", "apt-get", "update", "-qq"); err != nil {
		return err
	}
	return run(b.packages, "apt-get", get...)
}

var (
	library = regexp.MustCompile(`^(lib.*|zlib1g|bind9-libs)$`)
	// Parts of what only matters when packages are installed.
	unneeded = regexp.MustCompile(`^lib(c-bin|cap2-bin|pam.*|debian-installer.*|newt.*|slang.*|textwrap.*|semanage.*|sepol.*|audit.*|perl.*|gdbm.*|.*-perl|nginx-.*)$`)
)

// librariesOf finds the packages of libraries that others depend on, at any depth.
func librariesOf(packages []string) ([]string, error) {
	command := exec.Command("apt-cache", append([]string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
		"--no-breaks", "--no-replaces", "--no-enhances"}, packages...)...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", command.Args, err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSuffix(line, "\n")
		if library.MatchString(name) && !unneeded.MatchString(name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// applets links every command that busybox knows and no package has.
func applets(root string) error {
	program := filepath.Join(root, "usr/bin/busybox")
	out, err := exec.Command(program, "--list").Output()
	if err != nil {
		return fmt.Errorf("%s --list: %w", program, err)
	}
	for _, name := range strings.Fields(string(out)) {
		if exists(filepath.Join(root, "usr/bin", name)) || exists(filepath.Join(root, "usr/sbin", name)) {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(root, "usr/bin", name)); err != nil {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func copyFile(from, to string, mode os.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if closed := target.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Chmod(to, mode)
}

func run(folder, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=auto", "LC_ALL=C")
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// architecture is the machine's, as images name it.
const architecture = runtime.GOARCH
