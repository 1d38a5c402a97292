package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"proa.test/conformance/images"
)

// The cluster's name; its network, ports and directories follow from it.
const name = "conformance"

// cluster is one that runs in the background until it is stopped.
type cluster struct {
	program string
	folder  string
	server  *http.Server
}

// kubeconfig is the administrator's.
func (c *cluster) kubeconfig() string { return filepath.Join(c.folder, "admin.kubeconfig") }

// start brings up a new, empty cluster whose images come from this process. program is copied, so that a build in
// between does not change what is tested.
func start(p paths, program string, nodes int) (*cluster, error) {
	c := &cluster{program: filepath.Join(p.out(), "proa"), folder: filepath.Join(p.out(), "cluster")}
	// One that an earlier invocation left behind, when it was killed.
	if _, err := os.Stat(c.kubeconfig()); err == nil {
		if err := c.command("down").Run(); err != nil {
			return nil, fmt.Errorf("stop the cluster of an earlier run: %w", err)
		}
	}
	if err := os.RemoveAll(c.folder); err != nil {
		return nil, err
	}
	if err := copyProgram(program, c.program); err != nil {
		return nil, err
	}
	if err := c.serveImages(p.images(), nodes); err != nil {
		return nil, err
	}
	// Upstream's tests expect node ports of upstream's range.
	up := []string{"up", "--nodes", strconv.Itoa(nodes), "--node-ports", "30000-32767", "--wait", "180"}
	// Pods are not evicted for what the machine is short of.
	up = append(up, "--eviction-hard", "memory.available<50Mi")
	if err := c.command(up[0], up[1:]...).Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("proa up: %w", err), c.stop())
	}
	return c, nil
}

// serveImages serves the images and makes that the place where the cluster pulls all images from: one that is not there
// must be missed at once. The first node has the machine's network; further ones have their own, where loopback is
// another one.
func (c *cluster) serveImages(folder string, nodes int) error {
	handler, err := images.Handler(folder)
	if err != nil {
		return err
	}
	address := "127.0.0.1"
	if nodes > 1 {
		if address, err = ownAddress(); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return err
	}
	c.server = &http.Server{Handler: handler}
	go c.server.Serve(listener)
	hosts := filepath.Join(c.folder, "node/registries/_default")
	if err := os.MkdirAll(hosts, 0o755); err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	text := fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
	return os.WriteFile(filepath.Join(hosts, "hosts.toml"), []byte(text), 0o644)
}

// ownAddress is the address that the machine's default route uses. Connecting a datagram socket sends nothing.
func ownAddress() (string, error) {
	connection, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return "", fmt.Errorf("find the machine's own address: %w", err)
	}
	defer connection.Close()
	host, _, err := net.SplitHostPort(connection.LocalAddr().String())
	return host, err
}

// stop stops the cluster with all its containers.
func (c *cluster) stop() error {
	err := c.command("down").Run()
	if c.server != nil {
		err = errors.Join(err, c.server.Close())
	}
	return err
}

func (c *cluster) command(verb string, args ...string) *exec.Cmd {
	command := exec.Command(c.program, append([]string{verb, "--name", name, "--data-dir", c.folder}, args...)...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	return command
}

func copyProgram(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	// A running program cannot be written to, but replaced.
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
