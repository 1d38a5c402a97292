package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"
)

// How long a server may take until it is ready, and until it ends after it was asked to.
const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 20 * time.Second
	// How long one answer may take, the longest watch of the corpus included.
	requestTimeout = 20 * time.Second
)

// server is one of the two servers that are compared.
type server struct {
	name string
	base string
	// Client of an administrator.
	admin *http.Client
}

// process is a program that this run started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// fleet is everything that runs; stop ends it in the reverse order.
type fleet struct {
	directory string
	processes []*process
}

func (f *fleet) start(name, program string, arguments ...string) (*process, error) {
	log := filepath.Join(f.directory, name+".log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, arguments...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = f.directory
	// The servers end with this process, also when it is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		// How it ended stands in the log; whether it ended is what the run waits for.
		_ = cmd.Wait()
		close(p.done)
	}()
	f.processes = append(f.processes, p)
	return p, nil
}

func (f *fleet) stop() {
	for i := len(f.processes) - 1; i >= 0; i-- {
		p := f.processes[i]
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopTimeout):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}

// freePorts returns ports of the loopback address that nobody listens on.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// Kept open until all are known, so that no port is given twice.
		defer listener.Close()
		ports = append(ports, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// startUpstream starts etcd and kube-apiserver.
func (f *fleet) startUpstream(ctx context.Context, etcd, program string) (*server, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority(f.directory)
	if err != nil {
		return nil, err
	}
	err = errors.Join(ca.serving("server"), ca.client("admin", "kubernetes-admin", "system:masters"),
		ca.tokenKey("tokens.key"))
	if err != nil {
		return nil, err
	}
	client, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	if _, err := f.start("etcd", etcd, "--data-dir", filepath.Join(f.directory, "etcd"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default="+peer, "--log-level", "warn",
		// The data is thrown away after the run.
		"--unsafe-no-fsync"); err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(f.directory, name) }
	p, err := f.start("kube-apiserver", program,
		"--etcd-servers="+client,
		"--bind-address=127.0.0.1", "--secure-port="+ports[2],
		"--cert-dir="+in("kube-apiserver"),
		"--tls-cert-file="+in("server.crt"), "--tls-private-key-file="+in("server.key"),
		"--client-ca-file="+in("ca.crt"),
		// Required: who signs tokens of service accounts. The issuer is Proa's, for it shows in objects.
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file="+in("tokens.key"), "--service-account-key-file="+in("tokens.key"),
		// The networks of Proa's default cluster: addresses are compared by whether they lie in them.
		"--service-cluster-ip-range=10.96.0.0/12",
		// What every installer sets and Proa has always on; the default is to allow everything.
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
	)
	if err != nil {
		return nil, err
	}
	credentials, err := tls.LoadX509KeyPair(in("admin.crt"), in("admin.key"))
	if err != nil {
		return nil, err
	}
	roots, err := os.ReadFile(in("ca.crt"))
	if err != nil {
		return nil, err
	}
	s := newServer("upstream", "https://127.0.0.1:"+ports[2], roots, credentials)
	return s, s.ready(ctx, p)
}

// startProa starts Proa without operators, as kube-apiserver runs without controllers.
func (f *fleet) startProa(ctx context.Context, program string) (*server, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(f.directory, "proa")
	p, err := f.start("proa", program, "server", "--name", "upstream-test", "--data-dir", data,
		"--listen", "127.0.0.1", "--port", ports[0], "--store", "memory", "--disable", "all",
		"--service-cidr", "10.96.0.0/12", "--node-ports", "30000-32767")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(data, "admin.kubeconfig")
	if err := p.wait(ctx, func() bool { _, err := os.Stat(file); return err == nil }); err != nil {
		return nil, err
	}
	s, err := fromKubeconfig("proa", file)
	if err != nil {
		return nil, err
	}
	return s, s.ready(ctx, p)
}

// wait tries until the condition holds, the process ends or the time is up.
func (p *process) wait(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.name, ctx.Err(), p.tail())
		case <-tick.C:
		}
	}
	return nil
}

func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

func newServer(name, base string, roots []byte, credentials tls.Certificate) *server {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{credentials}},
		MaxIdleConnsPerHost: workers,
	}
	return &server{name: name, base: base, admin: &http.Client{Transport: transport, Timeout: requestTimeout}}
}

func (s *server) ready(ctx context.Context, p *process) error {
	return p.wait(ctx, func() bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/readyz", nil)
		if err != nil {
			return false
		}
		response, err := s.admin.Do(request)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// fromKubeconfig reads a kubeconfig with one cluster and one user, everything inline.
func fromKubeconfig(name, file string) (*server, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate string `json:"client-certificate-data"`
				Key         string `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(config.Clusters) != 1 || len(config.Users) != 1 {
		return nil, fmt.Errorf("%s: not one cluster and one user", file)
	}
	certificate, err := base64.StdEncoding.DecodeString(config.Users[0].User.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(config.Users[0].User.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	cluster := config.Clusters[0].Cluster
	return newServer(name, cluster.Server, cluster.CA, pair), nil
}
